"""The system calls of warm guests, and the BPF program that enforces them.

There is a table for the verify profile and one for warm scripts. One serves a zygote and its
children: a call is plainly allowed, allowed with an argument
check, or allowed only with the zygote's capability in its sixth argument (see ``core/lock.c``). All
else kills the process, which the host sees as ``forbidden``. Linux on x86-64.
"""

from __future__ import annotations

import struct

_ARCHITECTURE = 0xC000003E
_X32_BIT = 0x40000000

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_EPERM = 0x00050001
_NO_EFFECT = 0x00050000

_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = (
    0x20,
    0x05,
    0x15,
    0x35,
    0x45,
    0x06,
)

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
"""What warm scripts may do besides: ask."""

PRIVILEGED = {"clone": 56, "wait4": 61, "kill": 62, "pipe2": 293, "prlimit64": 302}
"""Calls that need the capability: only the zygote makes them."""

SCRIPT_PRIVILEGED = {"ftruncate": 77}
"""What the zygote of warm scripts does besides, with the file that a script is run from."""

# kill, rt_sigqueueinfo, tkill, tgkill, rt_tgsigqueueinfo
_SIGNALLING = (62, 129, 200, 234, 297)
_PTRACE, _PIDFD_OPEN = 101, 434
_IOCTL, _FCNTL, _OPENAT, _TGKILL, _PRLIMIT64 = 16, 72, 257, 234, 302
_WRITING = 0x1 | 0x2 | 0x40 | 0x200 | 0x400000  # O_WRONLY O_RDWR O_CREAT O_TRUNC O_TMPFILE
_IOCTLS = (0x5401, 0x5451)  # TCGETS and FIOCLEX, which open() makes
# TIOCGPGRP TIOCGWINSZ FIONREAD FIONCLEX: refused for pipes, or a matter of the child's own
_SCRIPT_IOCTLS = (*_IOCTLS, 0x540F, 0x5413, 0x541B, 0x5450)
_FCNTLS = (1, 2, 3, 1030)  # F_GETFD F_SETFD F_GETFL F_DUPFD_CLOEXEC
_SCRIPT_FCNTLS = (*_FCNTLS, 0, 1032)  # F_DUPFD F_GETPIPE_SZ


class Table:  # not a NamedTuple: importing typing would cost every guest memory
    """What a zygote and its children may call; ``tgkill`` is ``deny`` (an error) or ``kill``."""

    def __init__(
        self,
        plain: tuple[int, ...],
        privileged: tuple[int, ...],
        ioctls: tuple[int, ...],
        fcntls: tuple[int, ...],
        tgkill: str,
    ) -> None:
        self.plain = plain
        self.privileged = privileged
        self.ioctls = ioctls
        self.fcntls = fcntls
        self.tgkill = tgkill


# abort() raises its signal by tgkill; refused, it dies of SIGSEGV instead. A script that raises a
# signal is killed, to be run again where it can.
VERIFY = Table((*PLAIN.values(),), (*PRIVILEGED.values(),), _IOCTLS, _FCNTLS, "deny")
SCRIPT = Table(
    (*PLAIN.values(), *SCRIPT_PLAIN.values()),
    (*PRIVILEGED.values(), *SCRIPT_PRIVILEGED.values()),
    _SCRIPT_IOCTLS,
    _SCRIPT_FCNTLS,
    "kill",
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


def build(*, zygote: bool, table: Table = VERIFY) -> tuple[bytes, tuple[int, int]]:
    """Return the filter and the instruction numbers that compare the low word of the capability
    (the high word is compared two instructions later).

    With ``zygote`` false no call is open to a holder of the capability: the filter that the
    pure-Python core installs in each child.
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
            program.jump_if_equal(number, f"privileged {number == _PRLIMIT64}")
    else:
        program.jump_if_equal(_PRLIMIT64, "own limits")
    for number in table.plain:
        program.jump_if_equal(number, "allow")
    for number, label in (
        (_OPENAT, "open"),
        (_IOCTL, "ioctl"),
        (_FCNTL, "fcntl"),
        (_TGKILL, table.tgkill),
    ):
        program.jump_if_equal(number, label)
    program.add(_RETURN, _KILL_PROCESS)
    patches = _checks(program, table)
    return program.assemble(), patches


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
        ("open", 0, _EPERM),
        ("trace", 1, _EPERM),
    ):
        program.label(label)
        program.add(_LOAD, _argument(argument))
        program.add(_JUMP_EQUAL, 1, 0, 1)
        program.add(_RETURN, answer)
        program.add(_RETURN, _ALLOW)
    return program.assemble()


def _checks(program: _Program, table: Table) -> tuple[int, int]:
    program.label("open")
    program.add(_LOAD, _argument(2))
    program.add(_JUMP_ANY_BIT, _WRITING, 0, 1)
    program.add(_RETURN, _KILL_PROCESS)
    program.add(_RETURN, _ALLOW)
    for label, commands in (("ioctl", table.ioctls), ("fcntl", table.fcntls)):
        program.label(label)
        program.add(_LOAD, _argument(1))
        for command in commands:
            program.jump_if_equal(command, "allow")
        program.add(_RETURN, _KILL_PROCESS)
    program.label("deny")
    program.add(_RETURN, _EPERM)
    # prlimit64(0, resource, NULL, old): getrlimit() of oneself
    program.label("privileged True")
    low_limit = _capability_check(program, "own limits")
    program.label("own limits")
    for argument in (0, 2):
        for high in (False, True):
            program.add(_LOAD, _argument(argument, high=high))
            program.add(_JUMP_EQUAL, 0, 1, 0)
            program.add(_RETURN, _KILL_PROCESS)
    program.jump("allow")
    program.label("privileged False")
    low = _capability_check(program, "kill")
    program.label("kill")
    program.add(_RETURN, _KILL_PROCESS)
    program.label("allow")
    program.add(_RETURN, _ALLOW)
    return (low_limit, low)


def _capability_check(program: _Program, otherwise: str) -> int:
    """Allow if the sixth argument is the capability; returns the number of the low comparison."""
    program.add(_LOAD, _argument(5))
    low = program.add(_JUMP_EQUAL, 0, 0, 3)
    program.add(_LOAD, _argument(5, high=True))
    program.add(_JUMP_EQUAL, 0, 0, 1)
    program.add(_RETURN, _ALLOW)
    program.jump(otherwise)
    return low
