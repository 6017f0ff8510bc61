"""Rights of a container: the table of its settings, and its system calls.

The verify profile's own filter is installed by the guest, inside (see ``guest/seccomp.py``), and
kills. The profile here is the fence around the guest itself. Scripts have no filter of their own:
theirs is made from the policy that nsjail gets, so that there is one list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from executor.backends.base import LIBRARY_BYTES, OVERHEAD_BYTES
from executor.backends.seccomp import kafel
from executor.backends.seccomp.run_policy import RUN_POLICY
from executor.models import Limits, Script
from executor.wire.scripts import jail_memory_bytes

USER = "65534:65534"

MASKED = (
    "/sys",
    "/dev/mqueue",
    *(
        f"/proc/{name}"
        for name in (
            "acpi", "asound", "buddyinfo", "bus", "cgroups", "cmdline", "consoles", "cpuinfo",
            "crypto", "devices", "diskstats", "driver", "execdomains", "fb", "filesystems", "fs",
            "interrupts", "iomem", "ioports", "irq", "kallsyms", "kcore", "key-users", "keys",
            "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "loadavg", "locks",
            "mdstat", "meminfo", "misc", "modules", "mtrr", "pagetypeinfo", "partitions",
            "pressure", "sched_debug", "schedstat", "scsi", "slabinfo", "softirqs", "stat", "swaps",
            "sys", "sysrq-trigger", "sysvipc", "timer_list", "timer_stats", "tty", "uptime",
            "version", "version_signature", "vmallocinfo", "vmstat", "zoneinfo",
        )
    ),
)  # fmt: skip
"""Covered in the container: what the kernel tells about the host. A jail has no /proc at all, but
an engine does not start containers without one."""

ONLY_FOR_SCRIPTS = ("/etc", "/usr/bin", "/py/lib/python3.12/site-packages")
"""Directories of the image that are covered for warm guests: a pure function finds none of them."""

_GUEST_CALLS = (
    # what zygote, parser and children need: PLAIN and PRIVILEGED of guest/seccomp.py
    "read", "write", "close", "fstat", "poll", "lseek", "mmap", "mprotect", "munmap", "brk",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "pread64", "readv", "writev", "access",
    "select", "sched_yield", "mremap", "madvise", "dup", "dup2", "nanosleep", "getitimer", "alarm",
    "setitimer", "getpid", "exit", "uname", "getcwd", "readlink", "gettimeofday", "getrlimit",
    "getrusage", "sysinfo", "times", "getuid", "getgid", "geteuid", "getegid", "getppid",
    "sigaltstack", "gettid", "time", "futex", "sched_getaffinity", "getdents64", "clock_gettime",
    "clock_getres", "clock_nanosleep", "exit_group", "newfstatat", "pselect6", "ppoll",
    "set_robust_list", "dup3", "getrandom", "statx", "rseq", "close_range", "faccessat2",
    "wait4", "kill", "pipe2", "prlimit64", "ioctl", "fcntl", "openat", "tgkill",
    # what start-up needs: the interpreter, the guest's lock-down, and the runtime before it
    "execve", "arch_prctl", "set_tid_address", "prctl", "seccomp", "connect", "stat", "lstat",
    "open", "pipe", "waitid", "restart_syscall", "setrlimit",
    "capget", "capset", "chdir", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "fchdir",
    "fstatfs", "getpgrp", "openat2", "readlinkat", "setgid", "setgroups", "setresgid", "setresuid",
    "setsid", "setuid", "statfs", "umask",
)  # fmt: skip

_KILLED = (
    "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime",
    "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module",
    "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp",
    "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "migrate_pages", "mount",
    "mount_setattr", "move_mount", "move_pages", "name_to_handle_at", "open_by_handle_at",
    "open_tree", "perf_event_open", "personality", "pidfd_getfd", "pivot_root",
    "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "reboot", "request_key",
    "set_mempolicy", "setdomainname", "setfsgid", "setfsuid", "setgid", "setgroups", "sethostname",
    "setns", "setregid", "setresgid", "setresuid", "setreuid", "settimeofday", "setuid", "swapoff",
    "swapon", "syslog", "umount2", "unshare", "userfaultfd", "vhangup",
)  # fmt: skip
"""What kills a script. The engine's format cannot say "all else kills" and "all other values of
this argument are an error" at once, so what neither list names is refused with EPERM. (numpy's
OpenBLAS calls mbind as it loads, and goes on where that is refused.)"""

_SMALL_BUFFERS = {"net.ipv4.tcp_wmem": "4096 16384 65536", "net.ipv4.tcp_rmem": "4096 65536 131072"}
"""Of TCP: version 1 of control groups does not count what they hold."""
_NAMESPACES = 0x7E020000
_NAMES = {
    "newstat": "stat",
    "newfstat": "fstat",
    "newlstat": "lstat",
    "newuname": "uname",
    "sendfile64": "sendfile",
}
"""The engine's names of calls, where they are not Kafel's."""
_NAMES_BY_NUMBER = {424: "pidfd_send_signal", 434: "pidfd_open", 452: "fchmodat2"}
_AF_UNIX, _AF_INET, _AF_NETLINK = 1, (2, 10), 16
_FAMILIES = 64
"""More than there are."""
_SOCK_STREAM, _SOCK_DGRAM = 1, 2
_SOCKET_KINDS = 16
_ALLOW, _ERRNO, _KILL = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"
_ENOSYS = 38

Rule = dict[str, Any]


def guest_profile() -> str:
    """The seccomp profile around warm guests, as the engine takes it."""
    rules = [
        _rule(_ALLOW, *_GUEST_CALLS),
        _rule(_ALLOW, "clone", args=[_masked(0, _NAMESPACES, 0)]),
        _rule(_ALLOW, "socket", args=[_equal(0, 1)]),
        _no_clone3(),
    ]
    return _profile(rules)


def script_profile() -> str:
    """The seccomp profile of scripts, made from :data:`RUN_POLICY`."""
    allowed = [
        (_name(call), alternative)
        for call in kafel.read_policy(RUN_POLICY)
        for rule in call.rules
        if rule.errno is None
        for alternative in rule.alternatives
    ]
    plain = [name for name, comparisons in allowed if not comparisons]
    rules = [_rule(_ALLOW, *plain), _no_clone3()]
    for name, comparisons in allowed:
        if comparisons:
            rules.append(_rule(_ALLOW, name, args=[_compared(each) for each in comparisons]))
    rules.append(_rule(_KILL, *sorted(set(_KILLED) - set(plain))))
    rules += _killed_sockets()
    rules += [
        _rule(_KILL, "socketpair", args=[_differs(0, 1)]),
        _rule(_KILL, "prlimit64", args=[_differs(0, 0)]),
        _rule(_KILL, "sched_setaffinity", args=[_differs(0, 0)]),
    ]
    bits = (1 << i for i in range(32) if _NAMESPACES >> i & 1)
    rules += [_rule(_KILL, "clone", args=[_masked(0, bit, bit)]) for bit in bits]
    return _profile(rules)


def _killed_sockets() -> list[Rule]:
    # Families one by one: two conditions on one argument would be alternatives.
    # Netlink is refused: for a name of several addresses the C library tries it, and goes on.
    other = set(range(_FAMILIES)) - {_AF_UNIX, *_AF_INET, _AF_NETLINK}
    rules = [_rule(_KILL, "socket", args=[_equal(0, family)]) for family in sorted(other)]
    kinds = set(range(_SOCKET_KINDS)) - {_SOCK_STREAM, _SOCK_DGRAM}
    rules += [
        _rule(_KILL, "socket", args=[_equal(0, family), _masked(1, _SOCKET_KINDS - 1, kind)])
        for family in _AF_INET
        for kind in sorted(kinds)
    ]
    return rules


def guest_options(limits: Limits, *, core: int | None, libraries: bool = False) -> dict[str, Any]:
    """Settings of a warm guest's container, for ``create_host_config``."""
    memory = (limits.memory_mib << 20) + OVERHEAD_BYTES + (LIBRARY_BYTES if libraries else 0)
    return _common(memory) | {
        "nano_cpus": 10**9,
        "cpuset_cpus": None if core is None else str(core),
        "ulimits": _ulimits(nofile=64, core=0),
        "auto_remove": True,
    }


def script_options(limits: Limits, *, memory_bytes: int | None = None) -> dict[str, Any]:
    """Settings of a script's container: a writable /box, /tmp and /dev/shm in memory."""
    # runc gives a mount the mode of the directory under it, whatever is asked for.
    owner = "uid=65534,gid=65534,mode=1777"
    writable = f"size={limits.files_mib}m,nr_inodes=16384,nosuid,nodev,exec,{owner}"
    return _common(memory_bytes or script_memory(limits)) | {
        "ulimits": _ulimits(nofile=512, core=0),
        "tmpfs": dict.fromkeys(("/box", "/tmp", "/dev/shm"), writable),
    }


def script_memory(limits: Limits) -> int:
    """Bytes of memory for a script's container whose input is small."""
    return jail_memory_bytes(Script(source="", stdin=" " * (1 << 16)), limits)


def confined(profile: str, *, processes: int) -> dict[str, Any]:
    """Settings that runtimes on the host's kernel can enforce; gVisor has a kernel of its own."""
    return {
        "security_opt": ["no-new-privileges:true", f"seccomp={profile}"],
        "pids_limit": processes,
        "ipc_mode": "none",
        # An engine switches it off where a container has no network: also for loopback.
        "sysctls": {"net.ipv6.conf.all.disable_ipv6": "0", **_SMALL_BUFFERS},
    }


def own_kernel(options: dict[str, Any], masked: Sequence[str]) -> dict[str, Any]:
    """For gVisor, which ignores masked paths: nothing to see in /proc and /sys, as in a jail. (Its
    /proc would also show one process of a container the memory of another.)"""
    empty = dict.fromkeys(("/proc", "/sys", *masked), "ro,size=4k,mode=0555")
    return options | {"tmpfs": options.get("tmpfs", {}) | empty}


def _common(memory: int) -> dict[str, Any]:
    return {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "mem_limit": memory,
        "memswap_limit": memory,
        "security_opt": ["no-new-privileges:true"],
        "log_config": {"Type": "none", "Config": {}},
        "init": False,
    }


def _ulimits(**limits: int) -> list[dict[str, Any]]:
    return [{"Name": name, "Soft": value, "Hard": value} for name, value in limits.items()]


def _profile(rules: list[Rule]) -> str:
    return json.dumps({
        "defaultAction": _ERRNO,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
        "syscalls": rules,
    })  # fmt: skip


def _rule(action: str, *names: str, args: list[dict[str, Any]] | None = None) -> Rule:
    return {"names": list(names), "action": action, "args": args or []}


def _no_clone3() -> Rule:
    # Its flags lie in memory, out of a filter's sight: the C library falls back to clone.
    return _rule(_ERRNO, "clone3") | {"errnoRet": _ENOSYS}


def _equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def _differs(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_NE"}


def _masked(index: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def _compared(comparison: kafel.Comparison) -> dict[str, Any]:
    return _masked(comparison.position, comparison.mask, comparison.value)


def _name(call: kafel.Call) -> str:
    return _NAMES.get(call.name, call.name) or _NAMES_BY_NUMBER[call.number]
