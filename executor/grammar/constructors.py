"""The constructor calls that literal text may hold, such as ``Counter('aab')`` or ``range(3)``.

A builder takes exact values and returns an exact value, cheaply, or says :class:`NotLiteral`.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

from executor.grammar import decode
from executor.grammar.arrays import (
    CALLED,
    KINDS,
    NARROW,
    RANGES,
    Array,
    Scalar,
    measured,
    rounded,
)  # fmt: skip
from executor.grammar.decode import NAN, crowded, decimal_is_bounded
from executor.grammar.encode import MAX_FIELD_BITS

FACTORIES: dict[str, Callable[[], object] | None] = {"None": None, **decode.FACTORIES}
"""Names that may be written as a defaultdict's factory."""

_ORDERED = {str, bytes, list, tuple, dict, range, deque, Counter, OrderedDict, defaultdict}
_UNORDERED = {set, frozenset}
_FRACTION = re.compile(r"\s*[+-]?\d{1,4300}(?:/\d{1,4300}|\.\d{1,4300})?\s*", re.ASCII)


class NotLiteral(Exception):
    """A well-formed expression outside the grammar; a sandbox may evaluate it."""


class Spender:
    """Counts the values that one text's constructors make."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def __call__(self, count: int) -> None:
        """Take ``count`` off; raise :class:`NotLiteral` if that is more than is left."""
        self._left -= count
        if self._left < 0:
            raise NotLiteral("not a literal: it makes too many values")


Builder = Callable[..., object]


def construct(build: Builder, spend: Spender, values: list[Any], named: dict[str, Any]) -> object:
    """Call a builder; what the real constructor would raise is not a literal either."""
    try:
        return build(spend, *values, **named)
    except (TypeError, ValueError, ArithmeticError) as problem:
        raise NotLiteral(f"not a literal: {problem}") from None


def _no(what: str) -> NotLiteral:
    return NotLiteral(f"not a literal: {what}")


def _items(spend: Spender, source: Any, unordered: bool = False) -> list[Any]:
    """Return the members of an iterable value, in an order that is the same everywhere."""
    kind = type(source)
    if kind not in _ORDERED and not (unordered and kind in _UNORDERED):
        raise _no(f"the members of a {kind.__name__}")
    spend(len(source))
    return list(source)


def _members(spend: Spender, source: Any, unordered: bool = True) -> list[Any]:
    """Return the members of an iterable value, fit to be hashed."""
    members = _items(spend, source, unordered)
    if crowded(members, len(members)):
        raise _no("too many members with one hash")
    return members


def _pairs(spend: Spender, source: Any, named: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return the items of what ``dict`` would take."""
    if isinstance(source, dict):
        spend(2 * len(source))
        return [*source.items(), *named.items()]
    pairs = _items(spend, source)
    if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
        raise _no("a dict of something else than pairs")
    spend(2 * len(pairs))
    if crowded((key for key, _ in pairs), len(pairs)):
        raise _no("too many keys with one hash")
    return [(key, value) for key, value in pairs] + [*named.items()]


def _narrow(*numbers: Any) -> None:
    for number in numbers:
        if type(number) is not int or number.bit_length() > MAX_FIELD_BITS:
            raise _no("a field that is no int, or a wide one")


def _list(spend: Spender, source: Any = (), /) -> object:
    return _items(spend, source)


def _tuple(spend: Spender, source: Any = (), /) -> object:
    return tuple(_items(spend, source))


def _set(spend: Spender, source: Any = (), /) -> object:
    return set(_members(spend, source))


def _frozenset(spend: Spender, source: Any = (), /) -> object:
    return frozenset(_members(spend, source))


def _dict(spend: Spender, source: Any = (), /, **named: Any) -> object:
    return dict(_pairs(spend, source, named))


def _ordered(spend: Spender, source: Any = (), /, **named: Any) -> object:
    return OrderedDict(_pairs(spend, source, named))


def _default(spend: Spender, factory: Any = None, source: Any = (), /, **named: Any) -> object:
    return defaultdict(factory, _pairs(spend, source, named))


def _counter(spend: Spender, source: Any = (), /, **named: Any) -> object:
    found: Counter[Any] = Counter()
    if isinstance(source, dict) or named:
        if source and named:
            raise _no("a Counter of values and keywords")
        dict.update(found, _pairs(spend, source, named))
        return found
    found.update(_members(spend, source, unordered=False))
    return found


def _deque(spend: Spender, iterable: Any = (), maxlen: Any = None) -> object:
    if maxlen is not None and type(maxlen) is not int:
        raise _no("a deque with a bad maxlen")
    return deque(_items(spend, iterable), maxlen)


def _range(_spend: Spender, *fields: Any) -> object:
    _narrow(*fields)
    return range(*fields)


def _bool(_spend: Spender, value: Any = False, /) -> object:
    return bool(value)


def _int(_spend: Spender, value: Any = 0, /) -> object:
    if type(value) not in (bool, int, float, str):
        raise _no("an int of something else than a number or text")
    return int(value)


def _float(_spend: Spender, value: Any = 0.0, /) -> object:
    if type(value) not in (bool, int, float, str):
        raise _no("a float of something else than a number or text")
    number = float(value)
    return number if number == number else NAN  # noqa: PLR0124


def _complex(_spend: Spender, real: Any = 0, imag: Any = 0) -> object:
    if type(real) not in (int, float) or type(imag) not in (int, float):
        raise _no("a complex of something else than two numbers")
    return complex(real, imag)


def _str(_spend: Spender, value: Any = "", /) -> object:
    if type(value) is not str:
        raise _no("a str of something else than text")
    return value


def _bytes(spend: Spender, value: Any = b"", /) -> object:
    if type(value) not in (bytes, list, tuple):
        raise _no("bytes of something else than bytes or numbers")
    spend(len(value))
    return bytes(value)


def _decimal(_spend: Spender, value: Any = "0", /) -> object:
    if type(value) is int:
        _narrow(value)
    elif type(value) not in (float, str):
        raise _no("a Decimal of something else than a number or text")
    number = decimal.Decimal(value)
    if not decimal_is_bounded(number):
        raise _no("a Decimal out of bounds")
    return number


def _fraction(_spend: Spender, numerator: Any = 0, denominator: Any = 1) -> object:
    if type(numerator) is str:
        if denominator != 1 or not _FRACTION.fullmatch(numerator):
            raise _no("a Fraction of such text")
    else:
        _narrow(numerator, denominator)
    found = (
        fractions.Fraction(numerator, denominator)
        if type(numerator) is int
        else (fractions.Fraction(numerator))
    )
    _narrow(found.numerator, found.denominator)
    return found


def _of(kind: Callable[..., object], *accepted: type) -> Builder:
    """Return the builder of a datetime type, for fields of the types given."""

    def build(_spend: Spender, *values: Any, **named: Any) -> object:
        for value in (*values, *named.values()):
            if type(value) not in accepted:
                raise _no("a date or time with such a field")
        return kind(*values, **named)

    return build


_TEXTS = re.compile(r"[<|]?([US])(\d{1,9})", re.ASCII)
_INT64 = RANGES["int64"]


def _scalar_of(dtype: str) -> Builder:
    """Return the builder of a type of numpy's scalars, for plain numbers or texts."""

    def build(_spend: Spender, value: Any, /) -> object:
        (item,) = _elements(dtype, [value])
        return Scalar(dtype, item)

    return build


def _array(spend: Spender, items: Any, dtype: Any = None) -> object:
    shape, parts = measured(items)
    spend(len(parts))
    if dtype is None:
        dtype = _found_type(parts)
    elif type(dtype) is str and (width := _TEXTS.fullmatch(dtype)):
        dtype = {"U": "str", "S": "bytes"}[width[1]]
        if max(map(len, parts), default=0) > int(width[2]):
            raise _no("an array of texts that are cut off")
    elif type(dtype) is not str or dtype not in KINDS:
        raise _no("an array of such a type")
    if 0 in shape:
        return Array(dtype, shape)
    flat = iter(_elements(dtype, parts))
    return Array(dtype, _nested(items, flat))


def _nested(items: Any, flat: Iterator[Any]) -> Any:
    if type(items) is not list:
        return next(flat)
    return [_nested(item, flat) for item in items]


def _found_type(parts: list[Any]) -> str:
    """The type that numpy gives an array of these, where that is plain."""
    kinds = set(map(type, parts))
    for name in ("bool", "str", "bytes"):
        if kinds == {KINDS[name]}:
            return name
    if kinds == {int} and _INT64[0] <= min(parts) and max(parts) <= _INT64[1]:
        return "int64"
    if kinds <= {int, float} and kinds != {int}:
        return "float64"
    if kinds <= {int, float, complex} and kinds != {int}:
        return "complex128"
    raise _no("an array without a type")


def _elements(dtype: str, parts: list[Any]) -> list[Any]:
    """What numpy makes of plain numbers or texts as elements of a type, where it changes no more
    than the kind of number and its digits."""
    kind = KINDS[dtype]
    if not set(map(type, parts)) <= _TAKEN.get(kind, {kind}):
        raise _no(f"something that is not of numpy's type {dtype}")
    if kind is float:
        parts = [float(part) for part in parts]
    elif kind is complex:
        parts = [part if type(part) is complex else complex(part, 0.0) for part in parts]
    if dtype in NARROW:
        parts = rounded(dtype, parts)
    return [NAN if kind is float and part != part else part for part in parts]  # noqa: PLR0124


_TAKEN: dict[type, set[type]] = {float: {int, float}, complex: {int, float, complex}}


def _zeros(_spend: Spender, shape: Any, dtype: Any = "float64") -> object:
    if type(shape) is not tuple or type(dtype) is not str:
        raise _no("an array of zeros")
    return Array(dtype, shape)


_NONE = type(None)
_BUILTIN: dict[str, Builder] = {
    "list": _list,
    "tuple": _tuple,
    "set": _set,
    "frozenset": _frozenset,
    "dict": _dict,
    "range": _range,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "complex": _complex,
    "str": _str,
    "bytes": _bytes,
}
_IMPORTED: dict[str, Builder] = {
    "collections.Counter": _counter,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _default,
    "collections.deque": _deque,
    "decimal.Decimal": _decimal,
    "fractions.Fraction": _fraction,
    "datetime.date": _of(datetime.date, int),
    "datetime.time": _of(datetime.time, int, datetime.timezone, _NONE),
    "datetime.datetime": _of(datetime.datetime, int, datetime.timezone, _NONE),
    "datetime.timedelta": _of(datetime.timedelta, int, float),
    "datetime.timezone": _of(datetime.timezone, datetime.timedelta, str),
}
_NUMPY: dict[str, Builder] = {
    "array": _array,
    "zeros": _zeros,
    **{name: _scalar_of(dtype) for dtype, name in CALLED.items()},
}
_MODULE_NAMES = ("numpy", "np")
CONSTRUCTORS: dict[str, Builder] = {
    **_BUILTIN,
    **_IMPORTED,
    **{name.partition(".")[2]: build for name, build in _IMPORTED.items()},
    **{f"{module}.{name}": build for module in _MODULE_NAMES for name, build in _NUMPY.items()},
}
"""Builders by the name they are written with, plain or dotted."""
PRINTED_CONSTRUCTORS = {"array": "numpy.array"}
"""Names without their module, as numpy prints them."""
WITH_TYPE = {f"{module}.{name}" for module in _MODULE_NAMES for name in ("array", "zeros")}
"""Constructors that take a type of numpy as ``dtype``."""
TYPES = {
    **{name: name for name in KINDS},
    **{f"{module}.{name}": dtype for module in _MODULE_NAMES for dtype, name in CALLED.items()},
    "int": "int64",
    "float": "float64",
    "complex": "complex128",
}
"""Types of numpy by what names them."""
WITH_FACTORY = {"defaultdict", "collections.defaultdict"}
"""Constructors whose first argument is a type."""
CONSTANTS: dict[str, object] = {
    "Ellipsis": ...,
    "timezone.utc": datetime.UTC,
    "datetime.timezone.utc": datetime.UTC,
    "datetime.UTC": datetime.UTC,
}
"""Names that are values."""
PRINTED: dict[str, object] = {
    "nan": NAN,
    "inf": math.inf,
    "nanj": complex(0.0, NAN),
    "infj": complex(0.0, math.inf),
    "math.nan": NAN,
    "math.inf": math.inf,
    "np.True_": Scalar("bool", True),
    "np.False_": Scalar("bool", False),
}
"""Names that are values only as what Python prints."""
