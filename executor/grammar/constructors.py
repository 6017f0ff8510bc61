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
from collections.abc import Callable
from typing import Any

from executor.grammar import decode
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
CONSTRUCTORS: dict[str, Builder] = {
    **_BUILTIN,
    **_IMPORTED,
    **{name.partition(".")[2]: build for name, build in _IMPORTED.items()},
}
"""Builders by the name they are written with, plain or dotted."""
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
}
"""Names that are values only as what Python prints."""
