"""The filters of guests that reset their processes, run on a small interpreter of classic BPF."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.guest import seccomp
from tests.support.bpf import interpret

X86_64, I386 = 0xC000003E, 0x40000003
KILL, ALLOW, TRACE = 0x80000000, 0x7FFF0000, 0x7FF00000
REFUSED = {KILL, 0x30000, 0x50000}
"""To kill, to send SIGSYS, and to give an error: the call is not made."""
CAPABILITY, PLACE = 0x1122334455667788, 0x00002ABCDEF01000
READ, WRITE, IOCTL, FUTEX = 0, 1, 16, 202
CLOCKS = {"clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230}


def patched() -> bytes:
    """The zygote's filter as the core installs it."""
    program, patches = seccomp.build(zygote=True, table=seccomp.SLOTS)
    code = list(struct.iter_unpack("<HBBI", program))
    for patch in patches:
        secret = PLACE if patch < 0 else CAPABILITY
        for at, word in ((abs(patch), secret & 0xFFFFFFFF), (abs(patch) + 2, secret >> 32)):
            code[at] = (*code[at][:3], word)
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


ZYGOTE, SLOT = patched(), seccomp.slot()
CHILD = seccomp.build(zygote=False, table=seccomp.SLOTS)[0]


def call(program: bytes, number: int, *args: int, arch: int = X86_64) -> int:
    arguments = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return interpret(program, struct.pack("<IIQ6Q", number, arch, 0, *arguments))


def is_refused(program: bytes, number: int, *args: int) -> bool:
    return call(program, number, *args) & 0xFFFF0000 in REFUSED


# ---- the zygote's --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", seccomp.SLOT_PRIVILEGED)
def test_tracing_takes_the_capability(name: str) -> None:
    number = seccomp.SLOT_PRIVILEGED[name]
    assert call(ZYGOTE, number, 1, 2, 3, 4, 5, CAPABILITY) == ALLOW
    for wrong in (0, CAPABILITY ^ 1, CAPABILITY ^ (1 << 63)):
        assert is_refused(ZYGOTE, number, 1, 2, 3, 4, 5, wrong)
    assert is_refused(CHILD, number, 1, 2, 3, 4, 5, CAPABILITY)


@pytest.mark.parametrize("command", seccomp._SLOT_IOCTLS)
def test_scanning_and_protecting_take_the_capability(command: int) -> None:
    assert call(ZYGOTE, IOCTL, 5, command, 0, 0, 0, CAPABILITY) == ALLOW
    assert is_refused(ZYGOTE, IOCTL, 5, command)
    assert is_refused(CHILD, IOCTL, 5, command, 0, 0, 0, CAPABILITY)


@pytest.mark.parametrize("number", seccomp.MOVING_MEMORY.values())
def test_moving_memory_takes_both_secrets(number: int) -> None:
    high = CAPABILITY & ~0xFFFFFFFF
    assert call(ZYGOTE, number, high | 7, PLACE, 1, PLACE, 1, 0) == ALLOW
    for process, place in (
        (7, PLACE),
        (high ^ (1 << 40) | 7, PLACE),
        (high | 7, PLACE ^ 16),
        (high | 7, PLACE ^ (1 << 45)),
        (high | 7, 0),
    ):
        assert is_refused(ZYGOTE, number, process, place, 1, place, 1, 0)
    assert is_refused(CHILD, number, high | 7, PLACE, 1, PLACE, 1, 0)


def test_no_call_is_open_to_children_that_was_not_before() -> None:
    before = seccomp.build(zygote=False)[0]
    for number in range(600):
        open_before = call(before, number, 1, 2) == ALLOW
        assert (call(CHILD, number, 1, 2) == ALLOW) is open_before, number
        assert (call(ZYGOTE, number, 1, 2) == ALLOW) is open_before, number


# ---- a slot's own --------------------------------------------------------------------------------

STANDARD = (READ, WRITE)
CHECKED = {*STANDARD, *CLOCKS.values(), FUTEX}


@pytest.mark.parametrize("number", seccomp.FREE.values())
def test_free_calls_are_made(number: int) -> None:
    assert call(SLOT, number) == ALLOW


def test_what_is_not_free_stops_the_slot() -> None:
    for number in {*range(600)} - {*seccomp.FREE.values()} - CHECKED:
        assert call(SLOT, number, 1, 2, 3) == TRACE, number
    assert call(SLOT, 39, arch=I386) == KILL


@pytest.mark.parametrize("number", STANDARD)
@given(descriptor=st.integers(0, (1 << 64) - 1))
def test_only_the_null_device_is_read_and_written(number: int, descriptor: int) -> None:
    free = descriptor & 0xFFFFFFFF < 3  # of a descriptor the kernel takes the low word
    assert call(SLOT, number, descriptor) == (ALLOW if free else TRACE)


@pytest.mark.parametrize("number", CLOCKS.values())
def test_clocks_that_count_what_was_used_stop_the_slot(number: int) -> None:
    for clock in (0, 1, 4, 5, 6, 7, 11):
        assert call(SLOT, number, clock) == ALLOW
    for clock in (2, 3, 8, 9, 10, 12, 0xFFFFFFFA, 0xFFFFFFFE):
        assert call(SLOT, number, clock) == TRACE


def test_waiting_and_waking_are_free_and_other_futexes_are_not() -> None:
    for command in range(16):
        for flags in (0, 128, 256, 384):
            free = command in (0, 1, 9, 10)
            assert call(SLOT, FUTEX, 0, command | flags) == (ALLOW if free else TRACE)
