"""The system calls that a general script may make: a Kafel policy for nsjail, Linux on x86-64.

Wide enough for CPython's standard library with files, sub-processes, threads, AF_UNIX sockets
(which asyncio and multiprocessing need) and TCP and UDP, which reach as far as the script's own
loopback device. What is not named kills the process, which the host sees
as ``forbidden``: ptrace and access to other processes' memory, namespaces and mounts, every other
socket, BPF, perf, keys, io_uring, userfaultfd, modules, devices, the host's clock and
state. Calls that take a process id and change that process are limited to the caller itself,
because pid 1 of the jail, the harness, runs under the same user id.

Files of the image are shared by all scripts. What could be told from one to another by them is
refused: notes of who reads them (F_NOTIFY), leases, and to drop them from the host's cache (which
has no effect). Locks on them are granted, and nobody else's business: each jail has inodes of its
own (``nsjail/root.py``).

A script may restrict itself further, for good: close its memory to other processes and install a
filter, which adds to this one and never takes from it (the ``sandboxfusion`` backend's guest does
so for each child). Such a filter can neither trace nor notify: that takes calls that are not here.
"""

from __future__ import annotations

RUN_POLICY = """\
#define NEW_NAMESPACES 0x7E020000
#define S_IFMT 0xF000
#define S_IFIFO 0x1000
#define S_IFREG 0x8000
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_KIND 0xF
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_IPV6 41
#define SOL_SOCKET 1

POLICY files {
  ALLOW {
    read, write, readv, writev, pread64, pwrite64, preadv, pwritev, preadv2, pwritev2,
    open, openat, creat, close, close_range, lseek, sendfile64, copy_file_range,
    newstat, newfstat, newlstat, newfstatat, statx, statfs, fstatfs, access, faccessat, faccessat2,
    readlink, readlinkat, getdents, getdents64, getcwd, chdir, fchdir, umask,
    mkdir, mkdirat, rmdir, unlink, unlinkat, rename, renameat, renameat2,
    link, linkat, symlink, symlinkat, truncate, ftruncate, fallocate,
    /* all but DONTNEED */
    fadvise64 { advice == 0 || advice == 1 || advice == 2 || advice == 3 || advice == 5 },
    chmod, fchmod, fchmodat, SYSCALL[452] /* fchmodat2 */, chown, fchown, lchown, fchownat,
    utime, utimes, futimesat, utimensat, fsync, fdatasync, flock,
    /* F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL, F_GETLK F_SETLK F_SETLKW, F_GETOWN F_GETSIG,
       F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW,
       F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS */
    fcntl { cmd == 0 || cmd == 1 || cmd == 2 || cmd == 3 || cmd == 4 || cmd == 5 || cmd == 6
            || cmd == 7 || cmd == 9 || cmd == 11 || cmd == 36 || cmd == 37 || cmd == 38
            || cmd == 1030 || cmd == 1031 || cmd == 1032 || cmd == 1033 || cmd == 1034 },
    getxattr, lgetxattr, fgetxattr, listxattr, llistxattr, flistxattr,
    setxattr, lsetxattr, fsetxattr, removexattr, lremovexattr, fremovexattr,
    dup, dup2, dup3, pipe, pipe2, eventfd, eventfd2, memfd_create,
    poll, ppoll, select, pselect6,
    epoll_create, epoll_create1, epoll_ctl, epoll_wait, epoll_pwait, epoll_pwait2,
    /* FIFOs and regular files (also as 0), no devices */
    mknod { (mode & S_IFMT) == S_IFIFO || (mode & S_IFMT) == S_IFREG || (mode & S_IFMT) == 0 },
    mknodat { (mode & S_IFMT) == S_IFIFO || (mode & S_IFMT) == S_IFREG || (mode & S_IFMT) == 0 },
    /* TCGETS TIOCGPGRP TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX */
    ioctl { cmd == 0x5401 || cmd == 0x540F || cmd == 0x5413 || cmd == 0x541B || cmd == 0x5421
            || cmd == 0x5450 || cmd == 0x5451 }
  },
  ERRNO(25) { ioctl },
  /* What a kernel says that does not know the command. */
  ERRNO(22) { fcntl },
  ERRNO(0) { fadvise64 },
  /* Tools fall back to reading and writing. */
  ERRNO(22) { splice, tee, vmsplice }
}

POLICY memory {
  ALLOW { mmap, mprotect, munmap, mremap, madvise, msync, mincore, brk, membarrier },
  /* OpenBLAS places its buffers by it, and goes on where it may not. */
  ERRNO(1) { mbind, get_mempolicy }
}

POLICY processes {
  ALLOW {
    clone { (clone_flags & NEW_NAMESPACES) == 0 },
    fork, vfork, execve, execveat, wait4, waitid, exit, exit_group,
    kill, tkill, tgkill, SYSCALL[424], SYSCALL[434],  /* pidfd_send_signal, pidfd_open */
    getpid, getppid, gettid, getuid, geteuid, getgid, getegid, getresuid, getresgid, getgroups,
    getpgid, getpgrp, getsid, setsid, setpgid, capget,
    set_tid_address, set_robust_list, get_robust_list, rseq, arch_prctl, futex,
    sched_yield, sched_getaffinity, sched_getscheduler, sched_getparam,
    sched_get_priority_max, sched_get_priority_min, sched_rr_get_interval, getcpu,
    getrlimit, setrlimit, getrusage, times, getpriority, newuname, sysinfo, getrandom,
    prlimit64 { pid == 0 },
    sched_setaffinity { pid == 0 },
    setpriority { which == 0 && who == 0 },
    /* PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE (off) PR_SET_NAME
       PR_GET_NAME PR_SET_SECCOMP PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS */
    prctl { option == 1 || option == 2 || option == 3 || (option == 4 && arg2 == 0)
            || option == 15 || option == 16 || option == 22 || option == 38 || option == 39 }
  },
  /* Its flags lie in memory, out of a filter's sight: the C library falls back to clone. */
  ERRNO(38) { clone3 }
}

POLICY signals_and_time {
  ALLOW {
    rt_sigaction, rt_sigprocmask, rt_sigreturn, rt_sigpending, rt_sigtimedwait, rt_sigsuspend,
    rt_sigqueueinfo, rt_tgsigqueueinfo, sigaltstack, signalfd, signalfd4, pause, restart_syscall,
    alarm, getitimer, setitimer, time, gettimeofday, nanosleep,
    clock_gettime, clock_getres, clock_nanosleep,
    timer_create, timer_settime, timer_gettime, timer_getoverrun, timer_delete,
    timerfd_create, timerfd_settime, timerfd_gettime
  }
}

POLICY local_sockets {
  ALLOW {
    /* Loopback is all that there is: everything else has no route. */
    socket { family == AF_UNIX
             || ((family == AF_INET || family == AF_INET6) && (type & SOCK_KIND) == SOCK_STREAM
                 && (protocol == 0 || protocol == IPPROTO_TCP))
             || ((family == AF_INET || family == AF_INET6) && (type & SOCK_KIND) == SOCK_DGRAM
                 && (protocol == 0 || protocol == IPPROTO_UDP)) },
    socketpair { family == AF_UNIX },
    bind, listen, accept, accept4, connect, shutdown, getsockname, getpeername, getsockopt,
    sendto, recvfrom, sendmsg, recvmsg, sendmmsg, recvmmsg,
    /* SO_REUSEADDR SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_LINGER SO_REUSEPORT
       SO_PASSCRED SO_RCVTIMEO SO_SNDTIMEO; among the others are BPF filters.
       TCP_NODELAY TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_QUICKACK
       TCP_USER_TIMEOUT; IPV6_V6ONLY */
    setsockopt { (level == SOL_SOCKET && (optname == 2 || optname == 6 || optname == 7
                  || optname == 8 || optname == 9 || optname == 13 || optname == 15
                  || optname == 16 || optname == 20 || optname == 21))
                 || (level == IPPROTO_TCP && (optname == 1 || optname == 3 || optname == 4
                  || optname == 5 || optname == 6 || optname == 12 || optname == 18))
                 || (level == IPPROTO_IPV6 && optname == 26) }
  },
  ERRNO(92) { setsockopt }
}

POLICY script {
  USE files, USE memory, USE processes, USE signals_and_time, USE local_sockets
}

USE script DEFAULT KILL_PROCESS
"""
"""Text for nsjail's ``seccomp_string``."""
