"""Every kind of value in the grammar, for property tests; and strict sameness."""

from __future__ import annotations

import datetime
import math
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from executor.grammar.arrays import KINDS, NARROW, RANGES, Array, Scalar
from executor.grammar.decode import NAN

_any_text = st.text(st.characters(), max_size=6)  # lone surrogates included
_big = st.integers(1, 300).flatmap(lambda bits: st.integers(-(1 << bits), 1 << bits))
_edges = st.sampled_from(
    [0, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**15, 2**30, 2**60, 10**4299]
)
_too_long_for_decimal = st.integers(14_284, 14_300).map(lambda bits: -(1 << bits))
_floats = st.floats() | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324])
_complexes = st.builds(complex, _floats, _floats)
plain_scalars = (
    st.none()
    | st.booleans()
    | _big
    | _edges
    | _too_long_for_decimal
    | _floats
    | _complexes
    | _any_text
    | st.binary(max_size=6)
    | st.just(...)
)
_small = st.integers(-(10**6), 10**6)
_offsets = st.integers(-86399, 86399).map(lambda seconds: datetime.timedelta(seconds=seconds))
_zones = st.none() | st.just(datetime.UTC) | _offsets.map(datetime.timezone)
_named_zones = st.builds(datetime.timezone, _offsets, _any_text)
_folds = st.integers(0, 1)
_dates = st.dates() | st.timedeltas() | _zones | _named_zones
_moments = st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.datetimes(), _zones, _folds)
_times = st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), _zones, _folds)
_ranges = st.builds(range, _small, _small, _small.filter(bool))
_decimals = st.decimals(allow_nan=False) | st.sampled_from(
    [Decimal("NaN"), Decimal("-0"), Decimal("1E+9"), Decimal("-Infinity"), Decimal("1E-9999")]
)

_numpy_texts = _any_text.filter(lambda text: not text.endswith("\0"))
_numpy_bytes = st.binary(max_size=4).filter(lambda text: not text.endswith(b"\0"))


_FLOATS = {"e": st.floats(width=16), "f": st.floats(width=32), "d": st.floats()}


def _elements(dtype: str) -> st.SearchStrategy[Any]:
    """What an array of a type may hold."""
    if dtype in RANGES:
        return st.integers(*RANGES[dtype])
    floats = _FLOATS[NARROW.get(dtype, "d")]
    parts: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        float: floats.map(lambda number: NAN if math.isnan(number) else number),
        complex: st.builds(complex, floats, floats),
        str: _numpy_texts,
        bytes: _numpy_bytes,
    }
    return parts[KINDS[dtype]]


_dtypes = st.sampled_from(sorted(KINDS))
scalars_of_numpy = _dtypes.flatmap(
    lambda dtype: st.builds(Scalar, st.just(dtype), _elements(dtype))
)
_shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


def _nested(dtype: str, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    if not shape:
        return _elements(dtype)
    inner = _nested(dtype, shape[1:])
    return st.lists(inner, min_size=shape[0], max_size=shape[0])


def _contents(dtype: str, shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    content = st.just(shape) if 0 in shape else _nested(dtype, shape)
    return st.builds(Array, st.just(dtype), content)


arrays_of_numpy = st.tuples(_dtypes, _shapes).flatmap(lambda pair: _contents(*pair))
_extension_scalars = (
    scalars_of_numpy | _ranges | _decimals | st.fractions() | _dates | _moments | _times
)  # fmt: skip


def _has_nan(value: object) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return any(map(_has_nan, value))
    if isinstance(value, complex):
        return math.isnan(value.real) or math.isnan(value.imag)
    if isinstance(value, Scalar):
        return _has_nan(value.item)
    return isinstance(value, (float, Decimal)) and math.isnan(value)


def _with_one_nan(members: list[Any]) -> list[Any]:
    """Drop all NaNs but one: decoded, they would be one member."""
    nans = [member for member in members if _has_nan(member)]
    return [member for member in members if not _has_nan(member)] + nans[:1]


def _with_one_nan_key(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    nans = [item for item in items if _has_nan(item[0])]
    return [item for item in items if not _has_nan(item[0])] + nans[:1]


def _hashables(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3).map(tuple)
            | st.lists(inner, max_size=3).map(_with_one_nan).map(frozenset)
        ),
        max_leaves=4,
    )


def _trees(scalars: st.SearchStrategy[Any], extended: bool) -> st.SearchStrategy[Any]:
    keys = _hashables(scalars)
    sets = st.lists(keys, max_size=4).map(_with_one_nan)

    def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        lists = st.lists(inner, max_size=4)
        pairs = st.lists(st.tuples(keys, inner), max_size=4).map(_with_one_nan_key)
        plain = lists | lists.map(tuple) | pairs.map(dict) | sets.map(set) | sets.map(frozenset)
        if not extended:
            return plain
        return plain | st.one_of(
            pairs.map(OrderedDict),
            pairs.map(lambda items: Counter(dict(items))),
            pairs.map(lambda items: defaultdict(int, items)),
            pairs.map(lambda items: defaultdict(None, items)),
            lists.map(deque),
            lists.map(lambda items: deque(items, len(items) + 1)),
        )

    leaves = scalars | keys | arrays_of_numpy if extended else scalars | keys
    return st.recursive(leaves, grow, max_leaves=12)


plain_values = _trees(plain_scalars, extended=False)
values = _trees(plain_scalars | _extension_scalars, extended=True)
ordinary_scalars = st.none() | st.booleans() | _small | st.floats(allow_nan=False) | _any_text


def same(a: Any, b: Any) -> bool:  # noqa: PLR0911
    """An independent, slow definition of equality with equal types and the sign of zeros."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Scalar):
        return a.dtype == b.dtype and same(a.item, b.item)
    if isinstance(a, Array):
        return (a.dtype, a.shape) == (b.dtype, b.shape) and same(a.items, b.items)
    if isinstance(a, float):
        return (math.copysign(1, a) == math.copysign(1, b) and a == b) or (
            math.isnan(a) and math.isnan(b)
        )
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, Decimal):
        return str(a) == str(b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, deque):
        return a.maxlen == b.maxlen and same(list(a), list(b))
    if isinstance(a, dict):
        factories = getattr(a, "default_factory", 0) is getattr(b, "default_factory", 0)
        return factories and same(list(dict.items(a)), list(dict.items(b)))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    if isinstance(a, range):
        return (a.start, a.stop, a.step) == (b.start, b.stop, b.step)
    if isinstance(a, (datetime.datetime, datetime.time, datetime.timezone)):
        return repr(a) == repr(b)
    assert a is None or isinstance(
        a, (bool, int, str, bytes, Fraction, datetime.date, datetime.timedelta, type(...))
    )
    return bool(a == b)
