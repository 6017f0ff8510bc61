from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.grammar.compare import equal, first_difference
from executor.grammar.decode import decode
from executor.grammar.encode import encode
from tests.cases.values import ordinary_scalars, same, values

_NAN = math.nan


def _counter(value: Any) -> Counter[str]:
    """With what the class takes, whatever its type says."""
    return Counter(a=value)


_numbers = st.sampled_from(
    [0, 1, 2, -1, True, False, 0.0, -0.0, 1.0, 2.0, 1 + 0j, 2j, 0.5, Decimal(1), Decimal("0.5"),
     Fraction(1, 2), Fraction(2), "a", b"a", None, range(0), range(1, 1), range(2), ()]
)  # fmt: skip
_alike = st.recursive(
    _numbers,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.lists(_numbers, max_size=3).map(set),
        st.lists(_numbers, max_size=3).map(frozenset),
        st.dictionaries(_numbers, inner, max_size=3),
        st.dictionaries(_numbers, inner, max_size=3).map(Counter),
        st.dictionaries(_numbers, inner, max_size=3).map(OrderedDict),
        st.dictionaries(_numbers, inner, max_size=3).map(lambda d: defaultdict(int, d)),
    ),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(_alike, _alike)
def test_without_nan_it_is_pythons_equality(a: object, b: object) -> None:
    assert equal(a, b) is (a == b)


@settings(max_examples=200, deadline=None)
@given(_alike, _alike)
def test_it_is_pythons_equality_of_members_and_keys_too(a: object, b: object) -> None:
    try:
        expected = {a: 0} == {b: 0}
    except TypeError:
        return
    assert equal({a: 0}, {b: 0}) is expected
    assert equal({a}, {b}) is expected
    assert equal({(1, a)}, {(1, b)}) is expected


@settings(max_examples=200, deadline=None)
@given(values)
def test_a_value_equals_its_copy(value: object) -> None:
    copy = decode(encode(value))
    assert equal(copy, value)
    assert equal(copy, value, strict=True)
    assert first_difference(copy, value) == "no difference"


@settings(max_examples=200, deadline=None)
@given(_alike, _alike)
def test_strict_equality_is_equality_with_equal_types(a: object, b: object) -> None:
    strict = equal(a, b, strict=True)
    assert strict is equal(b, a, strict=True)
    if strict:
        assert equal(a, b)
        assert type(a) is type(b)
    if same(a, b):
        assert strict


@settings(max_examples=200, deadline=None)
@given(_alike, _alike)
def test_a_difference_is_told_exactly_if_there_is_one(a: object, b: object) -> None:
    for strict in (False, True):
        told = first_difference(a, b, strict)
        assert (told == "no difference") is equal(a, b, strict)


@settings(max_examples=100, deadline=None)
@given(st.lists(ordinary_scalars, max_size=4), st.randoms())
def test_order_counts_in_lists_and_not_in_dicts(items: list[Any], random: Any) -> None:
    pairs = [(index, item) for index, item in enumerate(items)]
    shuffled = pairs[:]
    random.shuffle(shuffled)
    assert equal(dict(pairs), dict(shuffled), strict=True)
    assert equal(pairs, shuffled) is (pairs == shuffled)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (_NAN, float("nan")), (_NAN, -_NAN), ([_NAN], [float("nan")]),
        ({_NAN: 1}, {float("nan"): 1}),
        ({(1, _NAN)}, {(1, float("nan"))}), (complex(_NAN, 1), complex(float("nan"), 1)),
        (complex(1, _NAN), complex(1, float("nan"))), (Decimal("NaN"), Decimal("NaN")),
        (Decimal("sNaN"), Decimal("sNaN")), ([Decimal("sNaN")], [Decimal("NaN")]),
        (_counter(_NAN), _counter(float("nan"))), ({"a": [_NAN]}, {"a": [float("nan")]}),
        (deque([_NAN]), deque([float("nan")])), (OrderedDict(a=_NAN), OrderedDict(a=float("nan"))),
        ({complex(_NAN, 1)}, {complex(float("nan"), 1)}), (frozenset([_NAN]), frozenset([-_NAN])),
    ],
)  # fmt: skip
def test_nan_equals_nan(a: object, b: object) -> None:
    assert equal(a, b)
    assert equal(a, b, strict=True)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (_NAN, 1.0), (_NAN, None), ([_NAN, 1], [_NAN, 2]), (complex(_NAN, 1), complex(_NAN, 2)),
        (Decimal("sNaN"), Decimal(1)), ({_NAN}, {1.0}), ({_NAN: 1}, {_NAN: 2}),
        ([Decimal("NaN")], [0]),
        (OrderedDict([("a", _NAN), ("b", 1)]), OrderedDict([("b", 1), ("a", _NAN)])),
    ],
)  # fmt: skip
def test_nan_equals_nothing_else(a: object, b: object) -> None:
    assert not equal(a, b)
    assert not equal(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0), (1, True), ([1], [1.0]), ({1: 2}, {1: 2.0}), ({1: 2}, {1.0: 2}), ({1}, {True}),
        ({1}, frozenset([1])), (1.0, Decimal(1)), (1, Fraction(1)), ({}, OrderedDict()),
        ({}, Counter()), ((1, (2,)), (1, (2.0,))), (_NAN, Decimal("NaN")), (1.0, 1 + 0j),
        (_NAN, complex(_NAN, 0)),
    ],
)  # fmt: skip
def test_strict_tells_types_apart(a: object, b: object) -> None:
    assert equal(a, b)
    assert equal(b, a)
    assert not equal(a, b, strict=True)
    assert not equal(b, a, strict=True)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (0.0, -0.0), ([0.0], [-0.0]), (complex(0.0, -0.0), 0j), ({1: 2, 3: 4}, {3: 4, 1: 2}),
        (Counter(a=0), Counter()), (range(0), range(2, 1)), (Decimal("1.0"), Decimal(1)),
        (deque([1], 3), deque([1])), (OrderedDict(a=1), OrderedDict(a=1)),
    ],
)  # fmt: skip
def test_strict_wants_no_more_than_types(a: object, b: object) -> None:
    assert equal(a, b, strict=True)


def _timed(a: object, b: object) -> bool:
    start = time.process_time()
    found = equal(a, b)
    assert time.process_time() - start < 2
    return found


def test_a_decimal_is_never_compared_with_a_wide_int() -> None:
    assert not _timed([Decimal(1), 1], [1 << 8_000_000, 1])
    assert not _timed({Decimal(1)}, {1 << 8_000_000})


def test_nested_counters_take_no_exponential_time() -> None:
    def nest() -> Any:
        value: Any = 1.0
        for _ in range(45):
            value = Counter({"a": value, "b": 1})
        return value

    assert _timed(nest(), nest())
    assert _timed(nest(), decode(encode(nest()).replace(b"i\x01\0\0\0", b"T")))


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (3, 4, "3 against 4"),
        ([0, 1, {"k": 3}], [0, 1, {"k": 4}], "at [2]['k']: 3 against 4"),
        ([1], [1, 2], "1 items against 2"),
        ([[1]], [[1, 2]], "at [0]: 1 items against 2"),
        (1, "1", "1 (int) against '1' (str)"),
        ({"a": 1}, {"b": 1}, "key 'b' is only in the second"),
        ({"a": 1}, {}, "key 'a' is only in the first"),
        ({1, 2}, {2, 3}, "member 1 is only in the first"),
        ([{1}], [{1, 5}], "at [0]: member 5 is only in the second"),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), "the keys are in another order"),
        (Counter(a=1), Counter(a=1, b=2), "at ['b']: 0 against 2"),
        ((_NAN, 1), (_NAN, 2), "at [1]: 1 against 2"),
        ("x" * 200, "y", "'" + "x" * 76 + "... against 'y'"),
    ],
)
def test_the_difference_is_a_short_sentence(a: object, b: object, told: str) -> None:
    assert first_difference(a, b) == told


def test_a_strict_difference_names_the_types() -> None:
    assert first_difference([1], [True], strict=True) == "at [0]: 1 (int) against True (bool)"
    assert first_difference([1], [1], strict=True) == "no difference"
