"""The run policy as the BPF program that a warm jail installs for each script.

A jail of its own gets its filter from nsjail, which compiles the policy's text. A warm jail lives
through many scripts and restricts each of them itself, so the same text is compiled here. That both
programs decide alike is shown by ``tests/backends/test_run_filter.py``, on nsjail's own program.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from executor.backends.seccomp.kafel import Call, Comparison, Rule, read_policy

_ARCHITECTURE = 0xC000003E
_ALLOW, _ERRNO, _KILL_THREAD, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x00000000, 0x80000000
_LOAD, _AND, _JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_WORD = 0xFFFFFFFF

_Instruction = tuple[int, int, int, int]
"""Code, instructions to skip if true and if false, value."""


def compile_policy(text: str) -> bytes:
    """Return the program, ``struct sock_filter`` after ``struct sock_filter``, little-endian.

    Raises:
        ValueError: the text uses what is not understood here.
    """
    head = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURE),
        (_RETURN, 0, 0, _KILL_THREAD),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    program = [*head, *_search(_ranges(read_policy(text)))]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


class _Range(NamedTuple):
    """Calls that share a fate, from one number to the next range."""

    start: int
    fate: tuple[Rule, ...]
    """The rules that count; what none of them holds for, kills."""


def _ranges(calls: list[Call]) -> list[_Range]:
    """All numbers, in as few ranges as there can be."""
    fates = {call.number: _fate(call) for call in calls}
    ranges: list[_Range] = []
    for number in range(max(fates) + 2):
        fate = fates.get(number, ())
        if not ranges or fate != ranges[-1].fate:
            ranges.append(_Range(number, fate))
    return ranges


def _fate(call: Call) -> tuple[Rule, ...]:
    """The rules up to the first without a condition."""
    for count, rule in enumerate(call.rules, 1):
        if rule.is_unconditional:
            return call.rules[:count]
    return call.rules


def _search(ranges: list[_Range]) -> list[_Instruction]:
    """Find the range that the loaded number is in, by halves."""
    if len(ranges) == 1:
        return _decide(ranges[0].fate)
    middle = len(ranges) // 2
    low, high = _search(ranges[:middle]), _search(ranges[middle:])
    # A conditional jump reaches 255 instructions: the far one is a plain jump.
    return [(_JUMP_AT_LEAST, 0, 1, ranges[middle].start), (_JUMP, 0, 0, len(low)), *low, *high]


def _decide(fate: tuple[Rule, ...]) -> list[_Instruction]:
    program: list[_Instruction] = []
    for rule in fate:
        verdict = _ALLOW if rule.errno is None else _ERRNO | rule.errno
        for alternative in rule.alternatives:
            program += _if_all(alternative, verdict)
    if not any(rule.is_unconditional for rule in fate):
        program.append((_RETURN, 0, 0, _KILL_PROCESS))
    return program


def _if_all(comparisons: tuple[Comparison, ...], verdict: int) -> list[_Instruction]:
    program: list[_Instruction] = [(_RETURN, 0, 0, verdict)]
    for comparison in reversed(comparisons):
        for offset, mask, wanted in reversed(_words(comparison)):
            load: list[_Instruction] = [(_LOAD, 0, 0, offset)]
            if mask != _WORD:
                load.append((_AND, 0, 0, mask))
            program = [*load, (_JUMP_EQUAL, 0, len(program), wanted), *program]
    return program


def _words(comparison: Comparison) -> list[tuple[int, int, int]]:
    """A comparison by words: where the word lies, which of its bits count, what they must be."""
    position, size, mask, wanted = comparison
    words = []
    for word in range(size // 4):
        bits = mask >> 32 * word & _WORD
        if bits:
            at = _ARGUMENTS_AT + 8 * position + 4 * word
            words.append((at, bits, wanted >> 32 * word & _WORD))
    return words
