"""The system calls of warm guests, and the BPF program that enforces them.

There is a table for the verify profile and one for warm scripts. One serves a zygote and its
children: a call is plainly allowed, allowed with an argument check, or allowed only with the
zygote's capability in its sixth argument (see ``core/lock.c``). Of all else the verify profile
refuses

* what ordinary code tries, with the error that a kernel would give: importing a module, or writing
  a file, is no attack;
* what starts processes, signals them or opens sockets, with an error as well, and the host is told,
  as of a sign of cheating;
* the rest by ending the process, which the host sees as ``forbidden``.

Warm scripts are ended by all of it: the host runs them again, where they may do more. Linux on
x86-64.

A slot (see ``core/slots.c``) has a second filter, :func:`slot`: before any call that could leave a
trace in the kernel it is stopped, and the call is not made.
"""

from __future__ import annotations

import struct

_ARCHITECTURE = 0xC000003E
_X32_BIT = 0x40000000

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_TRAP = 0x00030000
"""SIGSYS for the handler of ``core/refusals.c``, which finds the error here; 0: it ends the run."""
_ERROR = 0x00050000
_EPERM, _ECHILD, _EACCES, _ENOTTY, _ENOSYS = 1, 10, 13, 25, 38
_NO_EFFECT = _ERROR
_TRACE = 0x7FF00000

_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = (
    0x20,
    0x05,
    0x15,
    0x35,
    0x45,
    0x06,
)
_AND, _IMMEDIATE = 0x54, 0x00

PLAIN = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10,
    "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "pread64": 17, "readv": 19, "writev": 20, "access": 21, "select": 23, "sched_yield": 24,
    "mremap": 25, "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35, "getitimer": 36,
    "alarm": 37, "setitimer": 38, "getpid": 39, "exit": 60, "uname": 63, "getcwd": 79,
    "readlink": 89, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99,
    "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110,
    "sigaltstack": 131, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204,
    "getdents64": 217, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
    "exit_group": 231,
    "newfstatat": 262, "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "dup3": 292,
    "getrandom": 318, "statx": 332, "rseq": 334, "close_range": 436, "faccessat2": 439,
}  # fmt: skip
"""Calls that any process of the verify profile may make."""

SCRIPT_PLAIN = {"getgroups": 115, "getresuid": 118, "getresgid": 120}
"""Further calls of warm scripts: those that only ask."""

PRIVILEGED = {"clone": 56, "wait4": 61, "kill": 62, "pipe2": 293, "prlimit64": 302}
"""Calls that need the capability: only the zygote makes them."""

SLOT_PRIVILEGED = {
    "ptrace": 101, "setpgid": 109, "rt_sigtimedwait": 128, "prctl": 157, "seccomp": 317,
    "userfaultfd": 323, "pidfd_open": 434, "pidfd_getfd": 438,
}  # fmt: skip
"""Further calls of the zygote for its slots, and of each slot before it runs anything."""

MOVING_MEMORY = {"process_vm_readv": 310, "process_vm_writev": 311}
"""Calls whose sixth argument is in use: the zygote's secret is in the first two."""

FREE = {
    "sched_yield": 24, "nanosleep": 35, "getpid": 39, "uname": 63, "gettimeofday": 96,
    "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110,
    "gettid": 186, "time": 201, "getrandom": 318,
}  # fmt: skip
"""Calls that a slot may make: they leave nothing behind in the kernel."""

_STANDARD = {"read": 0, "write": 1}
"""Free for descriptors 0 to 2, which are the null device."""
_CLOCKS = {"clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230}
_SHARED_CLOCKS = (0, 1, 4, 5, 6, 7, 11)
"""Free for these: those of the process and its thread tell what earlier runs have used."""
_FUTEX = 202
_FUTEX_COMMAND = 0x7F
_FREE_FUTEXES = (0, 1, 9, 10)  # wait and wake: nobody else is there
_FIRST_OTHER_DESCRIPTOR = 3

SCRIPT_PRIVILEGED = {"ftruncate": 77}
"""Further calls of the zygote of warm scripts, for the file that a script is run from."""

REFUSED = {
    _EPERM: {
        "pipe": 22, "pause": 34, "socketpair": 53, "flock": 73, "fsync": 74, "fdatasync": 75,
        "chdir": 80, "fchdir": 81, "setrlimit": 160, "sync": 162, "inotify_init": 253,
        "statfs": 137, "fstatfs": 138, "getpriority": 140, "setpriority": 141, "setsid": 112,
        "setpgid": 109, "sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203,
        "mlock": 149, "mlockall": 151, "sendfile": 40, "splice": 275, "copy_file_range": 326,
        "rt_sigtimedwait": 128, "timer_create": 222, "epoll_create": 213, "epoll_create1": 291,
        "eventfd": 284, "eventfd2": 290, "timerfd_create": 283, "signalfd": 282, "signalfd4": 289,
        "inotify_init1": 294, "memfd_create": 319, "pipe2": 293, "fadvise64": 221, "shmget": 29,
        "semget": 64, "msgget": 68, "mq_open": 240, "mq_unlink": 241, "pidfd_open": 434,
        "personality": 135, "fallocate": 285, "ftruncate": 77, "pwrite64": 18,
        "getsid": 124, "getpgid": 121, "getpgrp": 111, "getgroups": 115, "getresuid": 118,
        "getresgid": 120, "capget": 125, "rt_sigpending": 127, "rt_sigsuspend": 130, "msync": 26,
        "mincore": 27, "sched_getparam": 143, "sched_getscheduler": 145,
        "sched_rr_get_interval": 148, "sched_get_priority_max": 146,
        "sched_get_priority_min": 147, "getcpu": 309, "pwritev": 296, "pwritev2": 328,
        "sync_file_range": 277, "syncfs": 306, "mbind": 237, "get_mempolicy": 239,
    },
    _EACCES: {
        "truncate": 76, "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83,
        "mkdirat": 258, "rmdir": 84, "creat": 85, "link": 86, "linkat": 265, "unlink": 87,
        "unlinkat": 263, "symlink": 88, "symlinkat": 266, "chmod": 90, "fchmod": 91,
        "fchmodat": 268, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260,
        "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280, "mknod": 133,
        "mknodat": 259, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
        "getxattr": 191, "lgetxattr": 192, "fgetxattr": 193, "listxattr": 194,
        "llistxattr": 195, "flistxattr": 196, "removexattr": 197, "lremovexattr": 198,
        "fremovexattr": 199, "readlinkat": 267,
    },
    _ECHILD: {"wait4": 61, "waitid": 247},
    _ENOSYS: {"clone3": 435},
}  # fmt: skip
"""What ordinary code tries, by the error that it gets. (``clone3`` is what threads are started with
where the kernel has it; else by ``clone``.)"""

TOLD = {
    "fork": 57, "vfork": 58, "clone": 56, "execve": 59, "execveat": 322, "socket": 41, "kill": 62,
    "tkill": 200,
}  # fmt: skip
"""Calls that are refused with an error, and told to the host."""

# kill, rt_sigqueueinfo, tkill, tgkill, rt_tgsigqueueinfo
_SIGNALLING = (62, 129, 200, 234, 297)
_PTRACE, _PIDFD_OPEN = 101, 434
_IOCTL, _FCNTL, _OPENAT, _TGKILL, _PRLIMIT64 = 16, 72, 257, 234, 302
_RT_SIGACTION, _CLONE = 13, 56
_SIGSYS, _RLIMIT_STACK, _TIOCSTI = 31, 3, 0x5412
_CLONE_VFORK, _CLONE_THREAD = 0x4000, 0x10000
_WRITING = 0x1 | 0x2 | 0x40 | 0x200 | 0x400000  # O_WRONLY O_RDWR O_CREAT O_TRUNC O_TMPFILE
_IOCTLS = (0x5401, 0x5451)  # TCGETS and FIOCLEX, which open() makes
# TIOCGPGRP TIOCGWINSZ FIONREAD FIONCLEX: refused for pipes, or a matter of the child's own
_SLOT_IOCTLS = (0xC0606610, 0xC018AA3F, 0xC020AA00, 0xC018AA06)
"""``PAGEMAP_SCAN``, ``UFFDIO_API``, ``UFFDIO_REGISTER``, ``UFFDIO_WRITEPROTECT``: the zygote's."""
_SCRIPT_IOCTLS = (*_IOCTLS, 0x540F, 0x5413, 0x541B, 0x5450)
_FCNTLS = (1, 2, 3, 1030)  # F_GETFD F_SETFD F_GETFL F_DUPFD_CLOEXEC
_SCRIPT_FCNTLS = (*_FCNTLS, 0, 1032)  # F_DUPFD F_GETPIPE_SZ


class Table:  # not a NamedTuple: importing typing would cost every guest memory
    """What a zygote and its children may call, and whether what they may not call is an error where
    it can be (``lenient``) or ends them all the same.

    ``own_ioctls`` and ``moving`` are for the zygote alone.
    """

    def __init__(
        self,
        plain: tuple[int, ...],
        privileged: tuple[int, ...],
        ioctls: tuple[int, ...],
        fcntls: tuple[int, ...],
        *,
        lenient: bool,
        own_ioctls: tuple[int, ...] = (),
        moving: tuple[int, ...] = (),
    ) -> None:
        self.plain = plain
        self.privileged = privileged
        self.ioctls = ioctls
        self.fcntls = fcntls
        self.lenient = lenient
        self.own_ioctls = own_ioctls
        self.moving = moving

    def errors(self) -> list[tuple[int, int]]:
        """The calls that get an error, and which."""
        if not self.lenient:
            return []
        return [(number, error) for error, calls in REFUSED.items() for number in calls.values()]


# abort() raises its signal by tgkill; refused, it dies of SIGSEGV instead. A script that raises a
# signal is killed, to be run again where it can.
VERIFY = Table((*PLAIN.values(),), (*PRIVILEGED.values(),), _IOCTLS, _FCNTLS, lenient=True)
SLOTS = Table(
    VERIFY.plain,
    (*VERIFY.privileged, *SLOT_PRIVILEGED.values()),
    _IOCTLS,
    _FCNTLS,
    lenient=True,
    own_ioctls=_SLOT_IOCTLS,
    moving=(*MOVING_MEMORY.values(),),
)
"""Of a zygote that has slots, and of all its children."""
SCRIPT = Table(
    (*PLAIN.values(), *SCRIPT_PLAIN.values()),
    (*PRIVILEGED.values(), *SCRIPT_PRIVILEGED.values()),
    _SCRIPT_IOCTLS,
    _SCRIPT_FCNTLS,
    lenient=False,
)


def _argument(index: int, *, high: bool = False) -> int:
    return 16 + 8 * index + (4 if high else 0)


class _Program:
    """A list of BPF instructions with forward jumps to labels."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int]] = []
        self.jumps: list[tuple[int, str]] = []
        self.labels: dict[str, int] = {}

    def add(self, code: int, value: int, if_true: int = 0, if_false: int = 0) -> int:
        self.code.append((code, if_true, if_false, value))
        return len(self.code) - 1

    def jump(self, label: str) -> None:
        self.jumps.append((self.add(_JUMP, 0), label))

    def jump_if_equal(self, value: int, label: str) -> None:
        self.add(_JUMP_EQUAL, value, 0, 1)
        self.jump(label)

    def label(self, name: str) -> None:
        self.labels[name] = len(self.code)

    def assemble(self) -> bytes:
        for position, label in self.jumps:
            code, if_true, if_false, _ = self.code[position]
            self.code[position] = (code, if_true, if_false, self.labels[label] - position - 1)
        return b"".join(struct.pack("<HBBI", *instruction) for instruction in self.code)


def build(*, zygote: bool, table: Table = VERIFY) -> tuple[bytes, tuple[int, ...]]:
    """Return the filter and the instruction numbers that compare the low word of the capability
    (the high word is compared two instructions later), or, if negative, of the place from which
    memory is moved.

    With ``zygote`` false no call is open to a holder of the capability, and there is no handler to
    tell the host what was refused: the filter that the pure-Python core installs in each child.
    """
    program = _Program()
    program.add(_LOAD, 4)
    program.add(_JUMP_EQUAL, _ARCHITECTURE, 1, 0)
    program.add(_RETURN, _KILL_PROCESS)
    program.add(_LOAD, 0)
    program.add(_JUMP_AT_LEAST, _X32_BIT, 0, 1)
    program.add(_RETURN, _KILL_PROCESS)
    if zygote:
        for number in table.privileged:
            program.jump_if_equal(number, f"privileged {number}")
        for number in table.moving:
            program.jump_if_equal(number, "moving")
    else:
        program.jump_if_equal(_PRLIMIT64, "own limits")
    if table.lenient:
        program.jump_if_equal(_RT_SIGACTION, "handler")
    for number in table.plain:
        program.jump_if_equal(number, "allow")
    for number, label in ((_OPENAT, "open"), (_IOCTL, "ioctl"), (_FCNTL, "fcntl")):
        program.jump_if_equal(number, label)
    _refuse(program, table)
    program.jump("kill")
    moving = _moving_check(program) if zygote and table.moving else ()
    own_ioctls = table.own_ioctls if zygote else ()
    patches = _checks(program, table, trap=zygote and table.lenient, own_ioctls=own_ioctls)
    return program.assemble(), (*patches, *moving)


def slot() -> bytes:
    """Return the filter that a slot has besides: what is not free stops it for its tracer."""
    program = _Program()
    program.add(_LOAD, 4)
    program.add(_JUMP_EQUAL, _ARCHITECTURE, 1, 0)
    program.add(_RETURN, _KILL_PROCESS)
    program.add(_LOAD, 0)
    for number in FREE.values():
        program.jump_if_equal(number, "allow")
    for numbers, label in (
        (_STANDARD.values(), "standard"),
        (_CLOCKS.values(), "clock"),
        ((_FUTEX,), "futex"),
    ):
        for number in numbers:
            program.jump_if_equal(number, label)
    program.label("stop")
    program.add(_RETURN, _TRACE)
    program.label("standard")
    program.add(_LOAD, _argument(0))
    program.add(_JUMP_AT_LEAST, _FIRST_OTHER_DESCRIPTOR, 0, 1)
    program.add(_RETURN, _TRACE)
    program.jump("allow")
    program.label("clock")
    program.add(_LOAD, _argument(0))
    for clock in _SHARED_CLOCKS:
        program.jump_if_equal(clock, "allow")
    program.add(_RETURN, _TRACE)
    program.label("futex")
    program.add(_LOAD, _argument(1))
    program.add(_AND, _FUTEX_COMMAND)
    for command in _FREE_FUTEXES:
        program.jump_if_equal(command, "allow")
    program.add(_RETURN, _TRACE)
    program.label("allow")
    program.add(_RETURN, _ALLOW)
    return program.assemble()


def _refuse(program: _Program, table: Table) -> None:
    if not table.lenient:
        return
    program.jump_if_equal(_TGKILL, f"error {_EPERM}")
    program.jump_if_equal(_CLONE, "clone")
    for number in TOLD.values():
        program.jump_if_equal(number, "told")
    for number, error in table.errors():
        program.jump_if_equal(number, f"error {error}")


def shield() -> bytes:
    """Return a filter for kernels that do not protect pid 1: signals to it have no effect, as on
    Linux, and none of its descendants can trace it or hold a descriptor of it. All else is allowed.
    """
    program = _Program()
    program.add(_LOAD, 4)
    program.add(_JUMP_EQUAL, _ARCHITECTURE, 1, 0)
    program.add(_RETURN, _KILL_PROCESS)
    program.add(_LOAD, 0)
    for number in _SIGNALLING:
        program.jump_if_equal(number, "signal")
    program.jump_if_equal(_PIDFD_OPEN, "open")
    program.jump_if_equal(_PTRACE, "trace")
    program.add(_RETURN, _ALLOW)
    for label, argument, answer in (
        ("signal", 0, _NO_EFFECT),
        ("open", 0, _ERROR | _EPERM),
        ("trace", 1, _ERROR | _EPERM),
    ):
        program.label(label)
        program.add(_LOAD, _argument(argument))
        program.add(_JUMP_EQUAL, 1, 0, 1)
        program.add(_RETURN, answer)
        program.add(_RETURN, _ALLOW)
    return program.assemble()


def _checks(
    program: _Program, table: Table, *, trap: bool, own_ioctls: tuple[int, ...]
) -> tuple[int, ...]:
    """Write the part that depends on arguments, and the ends; returns the capability's places."""
    lenient = table.lenient
    program.label("open")
    program.add(_LOAD, _argument(2))
    program.add(_JUMP_ANY_BIT, _WRITING, 1, 0)
    program.jump("allow")
    program.jump(f"error {_EACCES}" if lenient else "kill")
    _command_checks(program, table, own_ioctls)
    patches = _privileged_checks(program, table)
    if own_ioctls:
        program.label("own ioctl")
        patches = (*patches, _capability_check(program, "kill"))
    if lenient:
        _handler_check(program)
        _clone_check(program)
    _limits_check(program, table)
    _ends(program, lenient=lenient, trap=trap)
    return patches


def _command_checks(program: _Program, table: Table, own_ioctls: tuple[int, ...]) -> None:
    """Of ioctl and fcntl only listed commands have an effect."""
    for label, commands, error in (
        ("ioctl", table.ioctls, _ENOTTY),
        ("fcntl", table.fcntls, _EPERM),
    ):
        program.label(label)
        program.add(_LOAD, _argument(1))
        for command in commands:
            program.jump_if_equal(command, "allow")
        for command in own_ioctls if label == "ioctl" else ():
            program.jump_if_equal(command, "own ioctl")
        program.jump_if_equal(_TIOCSTI, "kill")
        program.jump(f"error {error}" if table.lenient else "kill")


def _ends(program: _Program, *, lenient: bool, trap: bool) -> None:
    """Write the program's answers; all that is above jumps to one of them."""
    if lenient:
        for error in (*REFUSED, _ENOTTY):
            program.label(f"error {error}")
            program.add(_RETURN, _ERROR | error)
        program.label("told")
        program.add(_RETURN, _TRAP | _EPERM if trap else _KILL_PROCESS)
    program.label("no effect")
    program.add(_RETURN, _NO_EFFECT)
    program.label("kill")
    program.add(_RETURN, _TRAP if trap else _KILL_PROCESS)
    program.label("allow")
    program.add(_RETURN, _ALLOW)


def _jump_unless_zero(program: _Program, argument: int, label: str) -> None:
    """Go on if both words of the argument are zero."""
    for high in (False, True):
        program.add(_LOAD, _argument(argument, high=high))
        program.add(_JUMP_EQUAL, 0, 1, 0)
        program.jump(label)


def _handler_check(program: _Program) -> None:
    """Nobody takes the place of the handler of what is refused."""
    program.label("handler")
    program.add(_LOAD, _argument(0))
    program.add(_JUMP_EQUAL, _SIGSYS, 1, 0)
    program.jump("allow")
    _jump_unless_zero(program, 1, "no effect")
    program.jump("allow")


def _clone_check(program: _Program) -> None:
    """A thread is an ordinary wish. What starts another program at once takes no error for one."""
    program.label("clone")
    program.add(_LOAD, _argument(0))
    program.add(_JUMP_ANY_BIT, _CLONE_THREAD, 0, 1)
    program.jump(f"error {_EPERM}")
    program.add(_JUMP_ANY_BIT, _CLONE_VFORK, 0, 1)
    program.jump("kill")
    program.jump("told")


def _limits_check(program: _Program, table: Table) -> None:
    """prlimit64(0, resource, NULL, old): getrlimit() of oneself. To set the size of the stack has
    no effect: the limit of memory holds for it anyway."""
    program.label("own limits")
    _jump_unless_zero(program, 0, "kill")
    _jump_unless_zero(program, 2, "set limit")
    program.jump("allow")
    program.label("set limit")
    if not table.lenient:
        program.jump("kill")
        return
    program.add(_LOAD, _argument(1))
    program.add(_JUMP_EQUAL, _RLIMIT_STACK, 1, 0)
    program.jump(f"error {_EPERM}")
    _jump_unless_zero(program, 3, f"error {_EPERM}")
    program.jump("no effect")


def _privileged_checks(program: _Program, table: Table) -> tuple[int, ...]:
    """Calls that a holder of the capability may make; others get what they would without it."""
    known = {number: f"error {error}" for number, error in table.errors()}
    if table.lenient:
        known |= dict.fromkeys(TOLD.values(), "told")
        known[_CLONE] = "clone"
    known[_PRLIMIT64] = "own limits"
    patches = []
    for number in table.privileged:
        program.label(f"privileged {number}")
        patches.append(_capability_check(program, known.get(number, "kill")))
    return tuple(patches)


def _moving_check(program: _Program) -> tuple[int, int]:
    """Allow if the first argument has the high word of the capability, where the kernel looks at
    the low one only, and the second is the secret place."""
    program.label("moving")
    low = program.add(_IMMEDIATE, 0)  # what is written here says nothing
    program.add(_LOAD, _argument(0, high=True))
    program.add(_JUMP_EQUAL, 0, 1, 0)
    program.add(_RETURN, _KILL_PROCESS)
    return low, -_capability_check(program, "kill", argument=1)


def _capability_check(program: _Program, otherwise: str, argument: int = 5) -> int:
    """Allow if the argument is the secret; returns the number of the low comparison."""
    program.add(_LOAD, _argument(argument))
    low = program.add(_JUMP_EQUAL, 0, 0, 3)
    program.add(_LOAD, _argument(argument, high=True))
    program.add(_JUMP_EQUAL, 0, 0, 1)
    program.add(_RETURN, _ALLOW)
    program.jump(otherwise)
    return low
