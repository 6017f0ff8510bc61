"""The filter of the verify profile, run on a small interpreter of classic BPF."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.guest import seccomp
from tests.support.bpf import interpret

X86_64 = 0xC000003E
I386 = 0x40000003
KILL, ALLOW, EPERM = 0x80000000, 0x7FFF0000, 0x00050001
EACCES, ENOTTY = 0x0005000D, 0x00050019
TRAP, TOLD = 0x00030000, 0x00030001
"""SIGSYS with which the run ends, or goes on with EPERM."""
NO_EFFECT = 0x00050000
CAPABILITY = 0x1122334455667788

OPENAT, IOCTL, FCNTL, TGKILL, RT_SIGACTION, CLONE = 257, 16, 72, 234, 13, 56
PRLIMIT64 = seccomp.PRIVILEGED["prlimit64"]
CHECKED = {OPENAT, IOCTL, FCNTL, TGKILL, RT_SIGACTION}
ERRORS = {
    number: 0x00050000 | error
    for error, calls in seccomp.REFUSED.items()
    for number in calls.values()
}
KNOWN = {
    *seccomp.PLAIN.values(), *seccomp.PRIVILEGED.values(), *CHECKED, *ERRORS,
    *seccomp.TOLD.values(),
}  # fmt: skip


def patched(*, zygote: bool) -> bytes:
    """The filter as the core installs it, with a capability."""
    program, patches = seccomp.build(zygote=zygote)
    code = list(struct.iter_unpack("<HBBI", program))
    if zygote:
        for low in patches:
            for at, word in ((low, CAPABILITY & 0xFFFFFFFF), (low + 2, CAPABILITY >> 32)):
                code[at] = (*code[at][:3], word)
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


ZYGOTE = patched(zygote=True)
CHILD = patched(zygote=False)
END = {ZYGOTE: TRAP, CHILD: KILL}
"""What ends a run: the handler tells the host of it, if there is one."""
FILTERS = pytest.mark.parametrize("program", [ZYGOTE, CHILD], ids=["zygote", "child"])


def call(program: bytes, number: int, *args: int, arch: int = X86_64) -> int:
    arguments = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return interpret(program, struct.pack("<IIQ6Q", number, arch, 0, *arguments))


@FILTERS
@pytest.mark.parametrize("name", seccomp.PLAIN)
def test_plain_calls_are_allowed(program: bytes, name: str) -> None:
    assert call(program, seccomp.PLAIN[name]) == ALLOW


@pytest.mark.parametrize("name", seccomp.PRIVILEGED)
def test_privileged_calls_need_the_capability(name: str) -> None:
    number = seccomp.PRIVILEGED[name]
    arguments = (1, 2, 3, 4, 5)
    assert call(ZYGOTE, number, *arguments, CAPABILITY) == ALLOW
    for wrong in (0, CAPABILITY ^ 1, CAPABILITY ^ (1 << 63), CAPABILITY & 0xFFFFFFFF):
        assert call(ZYGOTE, number, *arguments, wrong) != ALLOW
    assert call(CHILD, number, *arguments, CAPABILITY) != ALLOW
    assert call(CHILD, number, *arguments, 0) != ALLOW


@given(guess=st.integers(0, 2**64 - 1))
def test_no_other_number_is_the_capability(guess: int) -> None:
    expected = ALLOW if guess == CAPABILITY else TOLD
    assert call(ZYGOTE, seccomp.PRIVILEGED["clone"], 17, 0, 0, 0, 0, guess) == expected


@FILTERS
@given(number=st.integers(0, 0x3FFFFFFF))
def test_a_call_of_no_table_is_killed(program: bytes, number: int) -> None:
    if number not in KNOWN:
        assert call(program, number, 1, 2, 3, 4, 5, CAPABILITY) == END[program]


@FILTERS
def test_all_calls_of_today_that_are_in_no_table_are_killed(program: bytes) -> None:
    for number in set(range(600)) - KNOWN:
        assert call(program, number, 0, 0, 0, 0, 0, CAPABILITY) == END[program]


@FILTERS
@pytest.mark.parametrize("number", sorted(ERRORS))
def test_what_ordinary_code_tries_is_an_error(program: bytes, number: int) -> None:
    assert call(program, number, 1, 2, 3, 4, 5, 6) == ERRORS[number]


@pytest.mark.parametrize("name", seccomp.TOLD)
def test_what_starts_or_signals_processes_is_told(name: str) -> None:
    number = seccomp.TOLD[name]
    assert call(ZYGOTE, number, 17, 2, 3, 4, 5, 6) == TOLD
    assert call(CHILD, number, 17, 2, 3, 4, 5, 6) == KILL


@FILTERS
def test_a_thread_is_an_ordinary_wish_and_another_program_is_not(program: bytes) -> None:
    assert call(program, CLONE, 0x3D0F00) == EPERM  # pthread_create
    assert call(program, CLONE, 0x4111) == END[program]  # posix_spawn


@FILTERS
def test_nobody_replaces_the_handler_of_refused_calls(program: bytes) -> None:
    assert call(program, RT_SIGACTION, 31, 0x7FFF00001000, 0, 8) == NO_EFFECT
    assert call(program, RT_SIGACTION, 31, 1 << 32, 0, 8) == NO_EFFECT
    assert call(program, RT_SIGACTION, 31, 0, 0x7FFF00001000, 8) == ALLOW
    assert call(program, RT_SIGACTION, 14, 0x7FFF00001000, 0, 8) == ALLOW


ENDING_SCRIPTS = {*ERRORS, *seccomp.TOLD.values(), 101, 165} - {*seccomp.SCRIPT_PLAIN.values()}
SCRIPT_ZYGOTE, _ = seccomp.build(zygote=True, table=seccomp.SCRIPT)


@pytest.mark.parametrize("number", sorted(ENDING_SCRIPTS))
def test_a_warm_script_is_ended_by_all_that_is_not_allowed(number: int) -> None:
    assert call(SCRIPT_ZYGOTE, number, 17, 2, 3, 4, 5, 6) == KILL


@FILTERS
@given(number=st.integers(0, 500), capability=st.sampled_from([0, CAPABILITY]))
def test_another_architecture_is_killed(program: bytes, number: int, capability: int) -> None:
    assert call(program, number, 0, 0, 0, 0, 0, capability, arch=I386) == KILL


@FILTERS
@given(number=st.integers(0, 500), capability=st.sampled_from([0, CAPABILITY]))
def test_the_x32_calls_are_killed(program: bytes, number: int, capability: int) -> None:
    assert call(program, 0x40000000 | number, 0, 0, 0, 0, 0, capability) == KILL


WRITING = {"O_WRONLY": 0o1, "O_RDWR": 0o2, "O_CREAT": 0o100, "O_TRUNC": 0o1000}
READING = {"O_RDONLY": 0, "O_CLOEXEC": 0o2000000, "O_DIRECTORY": 0o200000, "O_NONBLOCK": 0o4000}


@FILTERS
@pytest.mark.parametrize("name", WRITING)
def test_opening_to_write_is_refused(program: bytes, name: str) -> None:
    for other in READING.values():
        assert call(program, OPENAT, 0, 0, WRITING[name] | other) == EACCES
        assert call(SCRIPT_ZYGOTE, OPENAT, 0, 0, WRITING[name] | other) == KILL
    assert call(program, OPENAT, 0, 0, 0o20000000) == EACCES  # O_TMPFILE without O_DIRECTORY


@FILTERS
@pytest.mark.parametrize("name", READING)
def test_opening_to_read_is_allowed(program: bytes, name: str) -> None:
    assert call(program, OPENAT, 0, 0, READING[name]) == ALLOW


@FILTERS
@given(command=st.integers(0, 0xFFFF))
def test_only_harmless_ioctl_and_fcntl_commands_are_allowed(program: bytes, command: int) -> None:
    assert (call(program, IOCTL, 0, command) == ALLOW) == (command in (0x5401, 0x5451))
    assert (call(program, FCNTL, 0, command) == ALLOW) == (command in (1, 2, 3, 1030))


@FILTERS
def test_faking_a_terminal_input_is_killed(program: bytes) -> None:
    assert call(program, IOCTL, 0, 0x5412) == END[program]  # TIOCSTI
    assert call(program, IOCTL, 0, 0x5413) == ENOTTY  # TIOCGWINSZ


@FILTERS
def test_a_signal_to_a_thread_is_refused(program: bytes) -> None:
    assert call(program, TGKILL, 1, 1, 9) == EPERM


@FILTERS
def test_a_process_may_ask_for_its_own_limits_only(program: bytes) -> None:
    assert call(program, PRLIMIT64, 0, 7, 0, 0x7FFF00001000) == ALLOW
    assert call(program, PRLIMIT64, 0, 7, 0x7FFF00002000, 0) == EPERM  # sets one
    assert call(program, PRLIMIT64, 0, 7, 1 << 32, 0) == EPERM
    assert call(program, PRLIMIT64, 1, 7, 0, 0x7FFF00001000) == END[program]  # the zygote's
    assert call(program, PRLIMIT64, 1 << 32, 7, 0, 0) == END[program]


@FILTERS
def test_the_size_of_the_stack_is_set_without_effect(program: bytes) -> None:
    assert call(program, PRLIMIT64, 0, 3, 0x7FFF00002000, 0) == NO_EFFECT
    assert call(program, PRLIMIT64, 0, 3, 0x7FFF00002000, 0x7FFF00001000) == EPERM
    assert call(SCRIPT_ZYGOTE, PRLIMIT64, 0, 3, 0x7FFF00002000, 0, 0, 6) == KILL


def test_a_filter_without_its_capability_allows_nothing_privileged_by_accident() -> None:
    """Should the patching fail, zero would be the capability: the core must patch all of it."""
    program, patches = seccomp.build(zygote=True)
    assert call(program, PRLIMIT64, 1, 0, 1, 0, 0, CAPABILITY) == TRAP
    code = list(struct.iter_unpack("<HBBI", program))
    compared = [at for at in range(1, len(code)) if code[at - 1] == (0x20, 0, 0, 56)]
    assert sorted(patches) == compared  # the low word of the sixth argument, wherever it is read


@FILTERS
def test_all_jumps_stay_inside_the_program(program: bytes) -> None:
    code = list(struct.iter_unpack("<HBBI", program))
    assert len(code) <= 4096  # the kernel's limit
    for at, (operation, if_true, if_false, k) in enumerate(code):
        jump = k if operation == 0x05 else max(if_true, if_false)
        assert operation == 0x06 or at + 1 + jump < len(code)
    assert code[-1][0] == 0x06


@pytest.mark.parametrize(
    ("number", "pids", "verdict"),
    [
        (62, (1, 9), NO_EFFECT),  # kill
        (129, (1, 9), NO_EFFECT),  # rt_sigqueueinfo
        (200, (1, 9), NO_EFFECT),  # tkill
        (234, (1, 1), NO_EFFECT),  # tgkill
        (297, (1, 1), NO_EFFECT),  # rt_tgsigqueueinfo
        (434, (1, 0), EPERM),  # pidfd_open
        (101, (16, 1), EPERM),  # ptrace
        (62, (2, 1), ALLOW),
        (62, (0xFFFFFFFF, 9), ALLOW),
        (101, (1, 2), ALLOW),
        (39, (1, 1), ALLOW),
    ],
)
def test_the_shield_keeps_the_first_process_and_nothing_else(
    number: int, pids: tuple[int, int], verdict: int
) -> None:
    assert call(seccomp.shield(), number, *pids) == verdict
