"""Values of numpy, made by numpy itself, through bytes and text and back."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings

from executor.grammar.arrays import Array, Scalar
from executor.grammar.closeness import Tolerance, close
from executor.grammar.compare import equal, first_difference
from executor.grammar.decode import DecodeError, decode
from executor.grammar.encode import TooLarge, Unserializable, encode
from executor.grammar.literals import NotLiteral, parse_value
from executor.grammar.text import literal_text
from executor.guest.numpy_values import native
from tests.cases.values import arrays_of_numpy, ordinary_scalars, same, scalars_of_numpy

np: Any = pytest.importorskip("numpy")


@settings(max_examples=100, deadline=None)
@given(scalars_of_numpy | arrays_of_numpy)
def test_numpy_makes_the_same_value_of_bytes_and_of_text(value: Scalar | Array) -> None:
    made: Any = decode(encode(value), native=native)
    assert same(decode(encode(made)), value)
    evaluated = eval(literal_text(value), {"numpy": np})
    assert type(evaluated) is type(made)
    assert evaluated.shape == made.shape
    assert same(decode(encode(evaluated)), value)


@settings(max_examples=100, deadline=None)
@given(scalars_of_numpy, scalars_of_numpy | ordinary_scalars)
def test_a_scalar_equals_and_hashes_like_what_it_holds(a: Scalar, b: Any) -> None:
    held = b.item if isinstance(b, Scalar) else b
    if a.item == a.item and held == held:  # noqa: PLR0124
        assert equal(a, b) is (a == b) is (a.item == held)
        assert equal({a: 0}, {b: 0}) is (a.item == held)
    assert hash(a) == hash(a.item)


@settings(max_examples=100, deadline=None)
@given(arrays_of_numpy, arrays_of_numpy)
def test_arrays_are_equal_as_numpy_has_it(a: Array, b: Array) -> None:
    ours: Any = native(a)
    theirs: Any = native(b)
    both_texts = ours.dtype.kind in "US" and ours.dtype.kind == theirs.dtype.kind
    if "f" in ours.dtype.kind + theirs.dtype.kind or "c" in ours.dtype.kind + theirs.dtype.kind:
        expected = a.shape == b.shape and equal(a.items, b.items)  # NaN equals NaN here
    elif both_texts or (ours.dtype.kind not in "US" and theirs.dtype.kind not in "US"):
        expected = bool(np.array_equal(ours, theirs))
    else:
        expected = a.shape == b.shape and 0 in a.shape
    assert equal(a, b) is equal(b, a) is expected
    alike = (a.dtype, a.shape) == (b.dtype, b.shape)
    assert equal(a, b, strict=True) is (alike and equal(a.items, b.items, strict=True))


@settings(max_examples=100, deadline=None)
@given(arrays_of_numpy)
def test_an_array_equals_its_lists_unless_types_count(value: Array) -> None:
    listed = native(value).tolist()  # type: ignore[attr-defined]
    assert equal(value, listed) is equal(listed, value) is value.is_list
    assert not equal(value, listed, strict=True)
    assert close(value, listed, Tolerance(atol=1e-9)) is value.is_list
    assert not close(value, listed, Tolerance(atol=1e-9, strict=True))


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: np.arange(10)[::3], "numpy.array([0, 3, 6, 9], dtype='int64')"),
        (lambda: np.array([1.5, -0.0], dtype=">f8"), "numpy.array([1.5, -0.0], dtype='float64')"),
        (lambda: np.eye(2, dtype="u1").T, "numpy.array([[1, 0], [0, 1]], dtype='uint8')"),
        (lambda: np.array(7), "numpy.array(7, dtype='int64')"),
        (lambda: np.zeros((2, 0), "f4"), "numpy.zeros((2, 0), dtype='float32')"),
        (lambda: np.array([]), "numpy.array([], dtype='float64')"),
        (lambda: np.array(["b", "aa"]), "numpy.array(['b', 'aa'], dtype='str')"),
        (lambda: np.float32(0.1), "numpy.float32(0.1)"),
        (lambda: np.float64("nan"), "numpy.float64(float('nan'))"),
        (lambda: np.longlong(3), "numpy.int64(3)"),
        (lambda: np.float16(65504), "numpy.float16(65500.0)"),
        (lambda: [np.True_, {np.int8(-1): ()}], "[numpy.bool_(True), {numpy.int8(-1): ()}]"),
        (lambda: np.array([0.1j], "c8"), "numpy.array([complex(0.0, 0.1)], dtype='complex64')"),
    ],
)  # fmt: skip
def test_values_have_a_canonical_text(made: Any, text: str) -> None:
    value = decode(encode(made()))
    assert literal_text(value) == text
    assert same(parse_value(text), value)


@pytest.mark.parametrize(
    "made",
    [
        lambda: np.array([None]), lambda: np.longdouble(1), lambda: np.clongdouble(1),
        lambda: np.datetime64("2020-01-01"), lambda: np.array(["2020"], dtype="M8[D]"),
        lambda: np.zeros(1, "i4,f4"), lambda: np.void(b"a"),
        lambda: np.ma.array([1]), lambda: np.zeros(1, "i4").view(np.recarray),
        lambda: np.zeros((1, 1)).view(np.matrix),
        lambda: type("Own", (np.ndarray,), {})(1), lambda: type("Own", (np.float64,), {})(1),
    ],
)  # fmt: skip
def test_other_values_of_numpy_are_refused(made: Any) -> None:
    with pytest.raises(Unserializable):
        encode(made())


def test_a_refusal_says_what_to_return_instead() -> None:
    with pytest.raises(Unserializable, match=r"dtype object: return .* \.tolist\(\)"):
        encode(np.array([None]))
    with pytest.raises(Unserializable, match=r"type longdouble: return .* \.tolist\(\)"):
        encode([np.longdouble(1)])


@pytest.mark.parametrize("shape", [(10**6,), (10**5, 1, 1, 1), (10**9, 10**9)])
def test_an_array_counts_with_all_its_lists(shape: tuple[int, ...]) -> None:
    with pytest.raises(TooLarge):
        encode(np.broadcast_to(np.int8(0), shape))


@pytest.mark.parametrize(
    "text",
    [
        "np.array([1, [2]])", "np.array([[1], [2, 3]])", "np.array([1, 'a'])", "np.zeros((2, 2))",
        "np.array([300], dtype='uint8')", "np.array([None])", "np.array([1], dtype='object')",
        "np.array(['abc'], dtype='<U2')", "np.int8(128)", "np.int8('1')", "np.float32(1e300)",
        "np.str_('a\\0')", "np.array([2**64])", "array([1])", "np.array([1], dtype=undefined)",
    ],
)  # fmt: skip
def test_what_only_numpy_can_tell_is_left_to_it(text: str) -> None:
    with pytest.raises(NotLiteral):
        parse_value(text)


@pytest.mark.parametrize(
    "value",
    [
        [1, 2], [[1.5, 2.5]], [True, False], [1, 2.5], [1j, 2], ["a", "bc"], [b"a"], [], [[]],
    ],
)  # fmt: skip
def test_an_array_without_a_type_has_the_one_that_numpy_finds(value: Any) -> None:
    made = np.array(value)
    assert same(parse_value(f"np.array({value!r})"), decode(encode(made)))
    printed = parse_value(repr(made), printed=True) if made.size else None
    assert printed is None or same(printed, decode(encode(made)))


def test_a_difference_inside_an_array_is_told() -> None:
    a, b = decode(encode(np.array([[1, 2]]))), decode(encode(np.array([[1, 3]])))
    assert first_difference(a, b) == "at [0][1]: 2 against 3"
    assert first_difference(a, [1, 2]) == "at [0]: [1, 2] (list) against 1 (int)"
    assert "shape (1, 2) against" in first_difference(a, decode(encode(np.array([1, 2]))))


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("array", ("int8", [])), ("array", ("int8", [[]])), ("array", ("int8", [1, [1]])),
        ("array", ("int8", [300])), ("array", ("float32", [0.1])), ("array", ("int8", (1,))),
        ("array", ("int8", (0, -1))), ("array", ("int8", ())), ("array", ("int8", (0, 1 << 70))),
        ("array", ("str", ["a\0"])), ("array", ("object", [1])), ("array", (1, [1])),
        ("array", ("float16", [1e9])), ("array", ("int8", [[1]], 1)), ("array", ("bool", [1])),
        ("scalar", ("int8", [1])), ("scalar", ("int8", 1.0)), ("scalar", ("uint8", -1)),
        ("scalar", ("complex64", 0.1j)), ("scalar", ("bytes", b"\0")), ("scalar", ("x", 1)),
    ],
)  # fmt: skip
def test_hostile_payloads_are_refused(name: str, payload: object) -> None:
    with pytest.raises(DecodeError):
        decode(b"X" + bytes((len(name),)) + name.encode() + encode(payload))


def test_nan_scalars_are_one_member() -> None:
    with pytest.raises(DecodeError, match="NaN"):
        decode(encode({np.float64("nan"), np.float64("nan")}))
    assert math.isnan(decode(encode(np.float64("nan"))).item)  # type: ignore[attr-defined]
