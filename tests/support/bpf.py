"""A small interpreter of the classic BPF that seccomp filters are written in."""

from __future__ import annotations

import struct
from functools import cache


def interpret(program: bytes, data: bytes) -> int:
    """Run a BPF program on one ``struct seccomp_data`` and return its verdict."""
    code = _decoded(program)
    at = accumulator = 0
    while True:
        operation, if_true, if_false, k = code[at]
        at += 1
        if operation == 0x20:  # load a word
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif operation == 0x00:  # load a number
            accumulator = k
        elif operation == 0x54:  # and
            accumulator &= k
        elif operation == 0x05:  # jump
            at += k
        elif operation == 0x06:  # return
            return int(k)
        else:
            taken = {
                0x15: accumulator == k,
                0x35: accumulator >= k,
                0x45: bool(accumulator & k),
            }[operation]
            at += if_true if taken else if_false


@cache
def _decoded(program: bytes) -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("<HBBI", program))
