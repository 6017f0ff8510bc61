from __future__ import annotations

import contextlib
import marshal
import math
import struct
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.grammar.decode import NAN, DecodeError, decode
from executor.grammar.encode import MAX_DEPTH, encode
from tests.cases.values import values


def _only_decode_errors(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(data)


@settings(max_examples=250, deadline=2000)
@given(st.binary(max_size=60))
def test_random_bytes_raise_only_decode_errors(data: bytes) -> None:
    _only_decode_errors(data)


@settings(max_examples=250, deadline=2000)
@given(values, st.data())
def test_mutated_bytes_raise_only_decode_errors(value: object, data: st.DataObject) -> None:
    encoded = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(encoded)))
        end = data.draw(st.integers(start, min(len(encoded), start + 3)))
        encoded[start:end] = data.draw(st.binary(max_size=3))
    _only_decode_errors(bytes(encoded))


@settings(max_examples=200, deadline=2000)
@given(st.sampled_from([b"range", b"Counter", b"OrderedDict", b"defaultdict", b"deque", b"Decimal",
                        b"Fraction", b"date", b"time", b"datetime", b"timedelta", b"timezone"]),
       values)  # fmt: skip
def test_wrong_payloads_raise_only_decode_errors(name: bytes, payload: object) -> None:
    _only_decode_errors(b"X" + bytes([len(name)]) + name + encode(payload))


@settings(max_examples=30, deadline=None)
@given(values)
def test_every_prefix_is_refused(value: object) -> None:
    encoded = encode(value)
    for end in range(0, len(encoded), len(encoded) // 100 + 1):
        with pytest.raises(DecodeError):
            decode(encoded[:end])


def _extension(name: str, payload: object) -> bytes:
    return b"X" + bytes([len(name)]) + name.encode() + encode(payload)


def _int(value: int) -> bytes:
    return b"i" + struct.pack("<i", value)


def _list(count: int, body: bytes) -> bytes:
    return b"[" + struct.pack("<I", count) + body


@pytest.mark.parametrize(
    "data",
    [
        b"", b"i", b"NN", b"?", b"0", b"[", b"{N", b"{N0", b"{0N",
        _list(2, b"N"), _list(2**32 - 1, b"N"), _list(100, _int(1) * 99),
        b"s\xff\xff\xff\xff", b"u\x02\0\0\0a", b"u\x01\0\0\0\xff", b"u\x02\0\0\0\xc0\x80",
        b"l\0\0\0\0", b"l\x01\0\0\0\x01\0", b"l\x03\0\0\0\x01\0\0\0\0\0", b"l\x01\0\0\0\xff\xff",
        b"l\x03\0\0\0\x01\0\0\x80\x01\0", b"l\0\0\0\x80", b"l\xff\xff\xff\x7f",
        b"{" + _int(1) + b"N" + _int(1) + b"N0", b"{" + _int(1) + b"NTN0",
        b"{" + _list(0, b"") + b"N0",
        b"<\x02\0\0\0" + _int(1) * 2, b">\x02\0\0\0" + _int(1) + b"T",
        b"<\x01\0\0\0" + _list(0, b""),
        b"<\x02\0\0\0" + (b"g" + struct.pack("<d", math.nan)) * 2,
        b"X", b"X\x05", b"X\x05range", b"X\x04evilN", b"X\0N",
        _extension("range", (0, 1, 0)), _extension("range", (0, 1)), _extension("range", [0, 1, 1]),
        _extension("range", (False, 1, 1)), _extension("range", (0, 1 << 20_000, 1)),
        _extension("Counter", [("a", 1)]), _extension("OrderedDict", [("a", 1), ("a", 2)]),
        _extension("OrderedDict", [("a", 1, 2)]), _extension("OrderedDict", [([], 1)]),
        _extension("defaultdict", ("eval", {})), _extension("defaultdict", {}),
        _extension("defaultdict", ([], {})), _extension("deque", ([1, 2], 1)),
        _extension("deque", ([1], True)), _extension("deque", ([1], 1 << 70)),
        _extension("Decimal", "1e5"), _extension("Decimal", " 1"), _extension("Decimal", "1_0"),
        _extension("Decimal", "x"), _extension("Decimal", "1E+999999999"),
        _extension("Decimal", "1E+99999999999999999999"), _extension("Decimal", "1" * 20_000),
        _extension("Decimal", 1), _extension("Fraction", (1, 0)), _extension("Fraction", (2, 4)),
        _extension("Fraction", (1, -2)), _extension("Fraction", (1, 1 << 20_000)),
        _extension("Fraction", (True, 2)), _extension("date", (2020, 2, 30)),
        _extension("date", (1 << 70, 1, 1)), _extension("time", (24, 0, 0, 0, 0, None)),
        _extension("time", (1, 0, 0, 0, 2, None)), _extension("time", (1, 0, 0, 0, 0, "UTC")),
        _extension("timedelta", (0, 86400, 0)), _extension("timedelta", (10**10, 0, 0)),
        _extension("timezone", (1, 0, 0, None)), _extension("timezone", (0, 0, 0, b"x")),
        encode([1 << 20_000, range(3)])[:-25] + _extension("Decimal", "1"),
    ],
)  # fmt: skip
def test_what_is_not_canonical_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def test_the_depth_is_bounded() -> None:
    one_level = b"[\x01\0\0\0"
    decode(one_level * MAX_DEPTH + b"N")
    with pytest.raises(DecodeError, match="deeper"):
        decode(one_level * (MAX_DEPTH + 1) + b"N")
    with pytest.raises(DecodeError):
        decode(one_level * 200_000 + b"N")


def test_the_nodes_are_bounded() -> None:
    for item in (None, 1, 1.5):
        data = encode([item] * 99)
        assert decode(data, max_nodes=100) == [item] * 99
        with pytest.raises(DecodeError, match="too many"):
            decode(data, max_nodes=99)


def _modulus_multiples(count: int) -> list[int]:
    return [(2**61 - 1) * factor for factor in range(count)]


@pytest.mark.parametrize("as_dict", [False, True])
def test_hash_flooding_is_refused_in_time(as_dict: bool) -> None:
    members = b"".join(marshal.dumps(n, 2) for n in _modulus_multiples(40_000))
    items = b"".join(marshal.dumps(n, 2) + b"N" for n in _modulus_multiples(40_000))
    data = b"{" + items + b"0" if as_dict else b"<" + struct.pack("<I", 40_000) + members
    start = time.process_time()
    with pytest.raises(DecodeError, match="one hash"):
        decode(data)
    assert time.process_time() - start < 2


def test_flooding_an_ordered_dict_is_refused() -> None:
    data = encode([(n, None) for n in _modulus_multiples(10_000)])
    with pytest.raises(DecodeError, match="one hash"):
        decode(b"X\x0bOrderedDict" + data)


def test_an_honest_set_with_some_equal_hashes_passes() -> None:
    # hash(-1) == hash(-2), so such grids collide all by themselves.
    near = range(-2, 3)
    grid = {(a, b, c, d) for a in near for b in near for c in near for d in near}
    assert decode(encode(grid)) == grid


def test_a_wide_int_is_read_in_linear_time() -> None:
    wide = -(3**5_000_000)
    data = encode(wide, 1 << 21)
    start = time.process_time()
    assert decode(data) == wide
    assert time.process_time() - start < 2


def test_every_nan_is_one_object() -> None:
    found: Any = decode(encode([math.nan, -math.nan, {math.nan: 1}, (float("inf") * 0,)]))
    many: Any = decode(encode([math.nan] * 50))
    nans = [found[0], found[1], *found[2], *found[3], *many]
    assert all(nan is NAN for nan in nans)
