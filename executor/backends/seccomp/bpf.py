"""The run policy as the BPF program that a warm jail installs for each script.

A jail of its own gets its filter from nsjail, which compiles the policy's text. A warm jail lives
through many scripts and restricts each of them itself, so the same text is compiled here. Only as
much of the Kafel language is understood as the policy uses; all else raises. That both programs
decide alike is shown by ``tests/backends/test_run_filter.py``, on nsjail's own program.
"""

from __future__ import annotations

import ast
import itertools
import re
import struct
from typing import NamedTuple

_ARCHITECTURE = 0xC000003E
_ALLOW, _ERRNO, _KILL_THREAD, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x00000000, 0x80000000
_LOAD, _AND, _JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_WORD = 0xFFFFFFFF

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
    "epoll_ctl": 233, "tgkill": 234, "utimes": 235, "waitid": 247, "openat": 257, "mkdirat": 258,
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

_ARGUMENTS = {
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


class _Rule(NamedTuple):
    """What happens to a call if a condition holds; without one, always."""

    verdict: int
    condition: ast.expr | None


_Rules = dict[int, tuple[str, list[_Rule]]]


def compile_policy(text: str) -> bytes:
    """Return the program, ``struct sock_filter`` after ``struct sock_filter``, little-endian.

    Raises:
        ValueError: the text uses what is not understood here.
    """
    rules = _read(text)
    head = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURE),
        (_RETURN, 0, 0, _KILL_THREAD),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    return b"".join(
        struct.pack("<HBBI", *instruction) for instruction in [*head, *_search(_ranges(rules))]
    )


# ---- the text ----------------------------------------------------------------------------------

_DEFINE = re.compile(r"^#define\s+(\w+)\s+(\w+)\s*$", re.M)
_POLICY = re.compile(r"\s*POLICY\s+(\w+)\s*\{")
_BLOCK = re.compile(r"\s*(?:(ALLOW)\s*\{|ERRNO\((\d+)\)\s*\{|USE\s+(\w+))")
_SEPARATOR = re.compile(r"\s*([,}])")
_ENTRY = re.compile(r"\s*(?:SYSCALL\[(\d+)\]|(\w+))\s*(?:\{([^{}]*)\})?\s*(,|\})")
_END = re.compile(r"\s*USE\s+(\w+)\s+DEFAULT\s+KILL_PROCESS\s*\Z")


def _read(text: str) -> _Rules:
    """The rules of each call, in the order of the text."""
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
    return policies[end[1]]


def _not_understood(text: str, at: int) -> ValueError:
    return ValueError(f"policy not understood: {text[at : at + 60]!r}")


def _read_policy(text: str, at: int, rules: _Rules, policies: dict[str, _Rules]) -> int:
    while block := _BLOCK.match(text, at):
        at = block.end()
        if block[3]:
            if block[3] not in policies:
                break
            for number, (name, more) in policies[block[3]].items():
                rules.setdefault(number, (name, []))[1].extend(more)
        else:
            verdict = _ALLOW if block[1] else _ERRNO | int(block[2])
            at = _read_entries(text, at, verdict, rules)
        separator = _SEPARATOR.match(text, at)
        if separator is None:
            break
        at = separator.end()
        if separator[1] == "}":
            return at
    raise _not_understood(text, at)


def _read_entries(text: str, at: int, verdict: int, rules: _Rules) -> int:
    while entry := _ENTRY.match(text, at):
        at = entry.end()
        name = entry[2] or ""
        if name and name not in NUMBERS:
            raise ValueError(f"unknown system call {name!r}")
        number = NUMBERS[name] if name else int(entry[1])
        condition = _expression(entry[3]) if entry[3] else None
        rules.setdefault(number, (name, []))[1].append(_Rule(verdict, condition))
        if entry[4] == "}":
            return at
    raise _not_understood(text, at)


def _expression(text: str) -> ast.expr:
    # With these two words for these two signs, it is a Python expression; it is only looked at.
    words = text.replace("&&", " and ").replace("||", " or ")
    try:
        return ast.parse(" ".join(words.split()), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"condition not understood: {text}") from error


# ---- the program -------------------------------------------------------------------------------

_Instruction = tuple[int, int, int, int]
"""Code, instructions to skip if true and if false, value."""


class _Range(NamedTuple):
    """Calls that share a fate, from one number to the next range."""

    start: int
    name: str
    """Of the one call, where its arguments decide."""
    rules: tuple[_Rule, ...]


def _ranges(rules: _Rules) -> list[_Range]:
    """All numbers, in as few ranges as there can be."""
    ranges = [_Range(0, "", _fate(rules, 0)[1])]
    for number in range(1, max(rules) + 2):
        name, fate = _fate(rules, number)
        if name or (name, fate) != ranges[-1][1:]:
            ranges.append(_Range(number, name, fate))
    return ranges


def _fate(rules: _Rules, number: int) -> tuple[str, tuple[_Rule, ...]]:
    """The rules that count: those up to the first without a condition."""
    name, listed = rules.get(number, ("", []))
    fate: list[_Rule] = []
    for rule in [*listed, _Rule(_KILL_PROCESS, None)]:
        fate.append(rule)
        if rule.condition is None:
            break
    return (name if len(fate) > 1 else ""), tuple(fate)


def _search(ranges: list[_Range]) -> list[_Instruction]:
    """Find the range that the loaded number is in, by halves."""
    if len(ranges) == 1:
        return _decide(ranges[0])
    middle = len(ranges) // 2
    low, high = _search(ranges[:middle]), _search(ranges[middle:])
    # A conditional jump reaches 255 instructions: the far one is a plain jump.
    return [(_JUMP_AT_LEAST, 0, 1, ranges[middle].start), (_JUMP, 0, 0, len(low)), *low, *high]


def _decide(which: _Range) -> list[_Instruction]:
    program: list[_Instruction] = []
    for rule in which.rules:
        for alternative in _alternatives(rule.condition):
            program += _if_all(which.name, alternative, rule.verdict)
    return program


def _alternatives(condition: ast.expr | None) -> list[list[ast.expr]]:
    """The condition as alternatives, each a list of comparisons that all must hold."""
    if condition is None:
        return [[]]
    if not isinstance(condition, ast.BoolOp):
        return [[condition]]
    parts = [_alternatives(value) for value in condition.values]
    if isinstance(condition.op, ast.Or):
        return [alternative for part in parts for alternative in part]
    return [list(itertools.chain(*chosen)) for chosen in itertools.product(*parts)]


def _if_all(call: str, comparisons: list[ast.expr], verdict: int) -> list[_Instruction]:
    program: list[_Instruction] = [(_RETURN, 0, 0, verdict)]
    for comparison in reversed(comparisons):
        for offset, mask, wanted in reversed(_words(call, comparison)):
            load: list[_Instruction] = [(_LOAD, 0, 0, offset)]
            if mask != _WORD:
                load.append((_AND, 0, 0, mask))
            program = [*load, (_JUMP_EQUAL, 0, len(program), wanted), *program]
    return program


def _words(call: str, comparison: ast.expr) -> list[tuple[int, int, int]]:
    """A comparison ``argument == number`` or ``(argument & mask) == number``, word by word: where
    the word lies, which of its bits count, and what they must be."""
    match comparison:
        case ast.Compare(
            left=ast.Name(id=name), ops=[ast.Eq()], comparators=[ast.Constant(value=int(wanted))]
        ):
            mask = -1
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
    if (call, name) not in _ARGUMENTS:
        raise ValueError(f"unknown argument {name!r} of {call!r}")
    position, size = _ARGUMENTS[call, name]
    words = []
    for word in range(size // 4):
        bits = mask >> 32 * word & _WORD
        if bits:
            at = _ARGUMENTS_AT + 8 * position + 4 * word
            words.append((at, bits, wanted >> 32 * word & _WORD))
    return words
