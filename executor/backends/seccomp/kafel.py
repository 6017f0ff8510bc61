"""Reads a policy in the Kafel language: the system calls, and what happens to each.

Only as much of the language is understood as the run policy uses; all else raises. What the rules
become is for others to say: ``bpf.py`` for warm jails, ``docker/options.py`` for containers. (New
jails get the text: nsjail has a reader of its own.)
"""

from __future__ import annotations

import ast
import itertools
import re
from typing import NamedTuple

NUMBERS = {
    "read": 0, "write": 1, "open": 2, "close": 3, "newstat": 4, "newfstat": 5, "newlstat": 6,
    "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "pwrite64": 18,
    "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23, "sched_yield": 24,
    "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33, "pause": 34,
    "nanosleep": 35, "getitimer": 36, "alarm": 37, "setitimer": 38, "getpid": 39, "sendfile64": 40,
    "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "recvmsg": 47, "shutdown": 48, "bind": 49, "listen": 50, "getsockname": 51, "getpeername": 52,
    "socketpair": 53, "setsockopt": 54, "getsockopt": 55, "clone": 56, "fork": 57, "vfork": 58,
    "execve": 59, "exit": 60, "wait4": 61, "kill": 62, "newuname": 63, "fcntl": 72, "flock": 73,
    "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77, "getdents": 78, "getcwd": 79,
    "chdir": 80, "fchdir": 81, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86,
    "unlink": 87, "symlink": 88, "readlink": 89, "chmod": 90, "fchmod": 91, "chown": 92,
    "fchown": 93, "lchown": 94, "umask": 95, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98,
    "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108,
    "setpgid": 109, "getppid": 110, "getpgrp": 111, "setsid": 112, "getgroups": 115,
    "getresuid": 118, "getresgid": 120, "getpgid": 121, "getsid": 124, "capget": 125,
    "rt_sigpending": 127, "rt_sigtimedwait": 128, "rt_sigqueueinfo": 129, "rt_sigsuspend": 130,
    "sigaltstack": 131, "utime": 132, "mknod": 133, "statfs": 137, "fstatfs": 138,
    "getpriority": 140, "setpriority": 141, "sched_getparam": 143, "sched_getscheduler": 145,
    "sched_get_priority_max": 146, "sched_get_priority_min": 147, "sched_rr_get_interval": 148,
    "prctl": 157, "arch_prctl": 158, "setrlimit": 160, "gettid": 186, "setxattr": 188,
    "lsetxattr": 189, "fsetxattr": 190, "getxattr": 191, "lgetxattr": 192, "fgetxattr": 193,
    "listxattr": 194, "llistxattr": 195, "flistxattr": 196, "removexattr": 197, "lremovexattr": 198,
    "fremovexattr": 199, "tkill": 200, "time": 201, "futex": 202, "sched_setaffinity": 203,
    "sched_getaffinity": 204, "epoll_create": 213, "getdents64": 217, "set_tid_address": 218,
    "restart_syscall": 219, "fadvise64": 221, "timer_create": 222, "timer_settime": 223,
    "timer_gettime": 224, "timer_getoverrun": 225, "timer_delete": 226, "clock_gettime": 228,
    "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232,
    "epoll_ctl": 233, "tgkill": 234, "utimes": 235, "mbind": 237,
    "get_mempolicy": 239, "waitid": 247, "openat": 257, "mkdirat": 258,
    "mknodat": 259, "fchownat": 260, "futimesat": 261, "newfstatat": 262, "unlinkat": 263,
    "renameat": 264, "linkat": 265, "symlinkat": 266, "readlinkat": 267, "fchmodat": 268,
    "faccessat": 269, "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "get_robust_list": 274,
    "splice": 275, "tee": 276, "vmsplice": 278, "utimensat": 280, "epoll_pwait": 281,
    "signalfd": 282, "timerfd_create": 283, "eventfd": 284, "fallocate": 285,
    "timerfd_settime": 286, "timerfd_gettime": 287, "accept4": 288, "signalfd4": 289,
    "eventfd2": 290, "epoll_create1": 291, "dup3": 292, "pipe2": 293, "preadv": 295, "pwritev": 296,
    "rt_tgsigqueueinfo": 297, "recvmmsg": 299, "prlimit64": 302, "sendmmsg": 307, "getcpu": 309,
    "renameat2": 316, "getrandom": 318, "memfd_create": 319, "execveat": 322, "membarrier": 324,
    "copy_file_range": 326, "preadv2": 327, "pwritev2": 328, "statx": 332, "rseq": 334,
    "clone3": 435, "close_range": 436, "faccessat2": 439, "epoll_pwait2": 441,
}  # fmt: skip
"""The system calls that the policy names, on x86-64, under Kafel's names."""

ARGUMENTS = {
    ("clone", "clone_flags"): (0, 8),
    ("fadvise64", "advice"): (3, 4),
    ("fcntl", "cmd"): (1, 4),
    ("ioctl", "cmd"): (1, 4),
    ("mknod", "mode"): (1, 4),
    ("mknodat", "mode"): (2, 4),
    ("prctl", "option"): (0, 4),
    ("prctl", "arg2"): (1, 8),
    ("prlimit64", "pid"): (0, 4),
    ("sched_setaffinity", "pid"): (0, 4),
    ("setpriority", "which"): (0, 4),
    ("setpriority", "who"): (1, 4),
    ("setsockopt", "level"): (1, 4),
    ("setsockopt", "optname"): (2, 4),
    ("socket", "family"): (0, 4),
    ("socket", "type"): (1, 4),
    ("socket", "protocol"): (2, 4),
    ("socketpair", "family"): (0, 4),
}
"""Position and bytes of the arguments that the policy looks at."""


class Comparison(NamedTuple):
    """Bits of an argument that must have a value."""

    position: int
    size: int
    """Bytes of the argument."""
    mask: int
    value: int


class Rule(NamedTuple):
    """The action for a call if one of the alternatives holds, each with all its comparisons."""

    errno: int | None
    """The error that the call gets; ``None``: it is allowed."""
    alternatives: tuple[tuple[Comparison, ...], ...]

    @property
    def is_unconditional(self) -> bool:
        """Whether it holds whatever the arguments are."""
        return () in self.alternatives


class Call(NamedTuple):
    """A system call and its rules: the first that holds counts; if none does, it kills."""

    number: int
    name: str
    """Kafel's; empty where the text has the number only."""
    rules: tuple[Rule, ...]


_Rules = dict[int, Call]

_DEFINE = re.compile(r"^#define\s+(\w+)\s+(\w+)\s*$", re.M)
_POLICY = re.compile(r"\s*POLICY\s+(\w+)\s*\{")
_BLOCK = re.compile(r"\s*(?:(ALLOW)\s*\{|ERRNO\((\d+)\)\s*\{|USE\s+(\w+))")
_SEPARATOR = re.compile(r"\s*([,}])")
_ENTRY = re.compile(r"\s*(?:SYSCALL\[(\d+)\]|(\w+))\s*(?:\{([^{}]*)\})?\s*(,|\})")
_END = re.compile(r"\s*USE\s+(\w+)\s+DEFAULT\s+KILL_PROCESS\s*\Z")


def read_policy(text: str) -> list[Call]:
    """The calls that the policy names, by number. All others kill.

    Raises:
        ValueError: the text uses what is not understood here.
    """
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    defined = _DEFINE.findall(text)
    text = _DEFINE.sub("", text)
    for name, value in defined:
        text = re.sub(rf"\b{name}\b", value, text)
    policies: dict[str, _Rules] = {}
    at = 0
    while found := _POLICY.match(text, at):
        rules: _Rules = {}
        at = _read_policy(text, found.end(), rules, policies)
        policies[found[1]] = rules
    end = _END.match(text, at)
    if end is None or end[1] not in policies:
        raise _not_understood(text, at)
    return [call for _, call in sorted(policies[end[1]].items())]


def _not_understood(text: str, at: int) -> ValueError:
    return ValueError(f"policy not understood: {text[at : at + 60]!r}")


def _add(rules: _Rules, call: Call) -> None:
    known = rules.get(call.number, Call(call.number, call.name, ()))
    rules[call.number] = known._replace(rules=known.rules + call.rules)


def _read_policy(text: str, at: int, rules: _Rules, policies: dict[str, _Rules]) -> int:
    while block := _BLOCK.match(text, at):
        at = block.end()
        if block[3]:
            if block[3] not in policies:
                break
            for call in policies[block[3]].values():
                _add(rules, call)
        else:
            at = _read_entries(text, at, None if block[1] else int(block[2]), rules)
        separator = _SEPARATOR.match(text, at)
        if separator is None:
            break
        at = separator.end()
        if separator[1] == "}":
            return at
    raise _not_understood(text, at)


def _read_entries(text: str, at: int, errno: int | None, rules: _Rules) -> int:
    while entry := _ENTRY.match(text, at):
        at = entry.end()
        name = entry[2] or ""
        if name and name not in NUMBERS:
            raise ValueError(f"unknown system call {name!r}")
        alternatives = _condition(name, entry[3]) if entry[3] else ((),)
        number = NUMBERS[name] if name else int(entry[1])
        _add(rules, Call(number, name, (Rule(errno, alternatives),)))
        if entry[4] == "}":
            return at
    raise _not_understood(text, at)


def _condition(call: str, text: str) -> tuple[tuple[Comparison, ...], ...]:
    # With these two words for these two signs, it is a Python expression; it is only looked at.
    words = text.replace("&&", " and ").replace("||", " or ")
    try:
        tree = ast.parse(" ".join(words.split()), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"condition not understood: {text}") from error
    return tuple(
        tuple(_comparison(call, comparison) for comparison in alternative)
        for alternative in _alternatives(tree)
    )


def _alternatives(condition: ast.expr) -> list[list[ast.expr]]:
    """The condition as alternatives, each a list of comparisons that all must hold."""
    if not isinstance(condition, ast.BoolOp):
        return [[condition]]
    parts = [_alternatives(value) for value in condition.values]
    if isinstance(condition.op, ast.Or):
        return [alternative for part in parts for alternative in part]
    return [list(itertools.chain(*chosen)) for chosen in itertools.product(*parts)]


def _comparison(call: str, comparison: ast.expr) -> Comparison:
    """``argument == number`` or ``(argument & mask) == number``."""
    mask = -1
    match comparison:
        case ast.Compare(
            left=ast.Name(id=name), ops=[ast.Eq()], comparators=[ast.Constant(value=int(wanted))]
        ):
            pass
        case ast.Compare(
            left=ast.BinOp(
                left=ast.Name(id=name), op=ast.BitAnd(), right=ast.Constant(value=int(mask))
            ),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value=int(wanted))],
        ):
            pass
        case _:
            raise ValueError(f"condition not understood: {ast.unparse(comparison)}")
    if (call, name) not in ARGUMENTS:
        raise ValueError(f"unknown argument {name!r} of {call!r}")
    position, size = ARGUMENTS[call, name]
    whole = (1 << 8 * size) - 1
    return Comparison(position, size, mask & whole, wanted & whole)
