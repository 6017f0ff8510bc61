"""Value to text: one canonical Python literal per value.

:func:`executor.grammar.literals.parse_value` reads the text back to an equal value of the same
types. Dicts keep their order; sets are sorted, so that the text does not depend on the hash seed.
"""

from __future__ import annotations

import datetime
import heapq
import math
import re
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from struct import pack, unpack
from typing import Any

from executor.grammar.arrays import CALLED, KINDS, NARROW, Array, Scalar

_LONGEST_DECIMAL = 10**4300
_MOST_DIGITS = 4300
_MANY = 20_000
"""Parts of a value that are written at a time: nothing else can run meanwhile."""
_LONG_NUMBER = re.compile(r"\d{4301}")
_SAFE = {type(None), bool, int, float, str, bytes, list, tuple, dict}
_CONTAINERS = {list, tuple, dict}


def literal_text(value: object) -> str:
    """Return the literal text of a value of the grammar.

    Ints of more than 4300 digits are written in hex, because Python's parser refuses longer decimal
    ones. Raises :class:`TypeError` for a value outside the grammar.
    """
    if _repr_is_literal(value):
        try:
            text = repr(value)
        except ValueError:
            # An int too long for str().
            return _text(value)
        if not _needs_care(text):
            return text
    return _text(value)


def _repr_is_literal(value: object) -> bool:
    """Say whether repr writes every type in the tree as a literal, at once."""
    level = [value]
    parts = 0
    while level:
        parts += len(level)
        if parts > _MANY:
            return False
        kinds = set(map(type, level))
        if not kinds <= _SAFE:
            return False
        if kinds.isdisjoint(_CONTAINERS):
            return True
        below: list[object] = []
        for item in level:
            if type(item) is list or type(item) is tuple:
                below += item
            elif type(item) is dict:
                below += item
                below += item.values()
        level = below
    return True


def _needs_care(text: str) -> bool:
    """Say whether a float in the text may be infinite or NaN, or an int too long."""
    if "inf" in text or "nan" in text:
        return True
    # Mostly ``repr`` itself refuses such an int.
    refuses = 0 < sys.get_int_max_str_digits() <= _MOST_DIGITS
    return not refuses and len(text) > _MOST_DIGITS and _LONG_NUMBER.search(text) is not None


def _text(value: object) -> str:
    write = _WRITERS.get(type(value))
    if write is None:
        raise TypeError(f"no literal for a value of type {type(value).__name__}")
    return write(value)


def _int(value: int) -> str:
    return repr(value) if -_LONGEST_DECIMAL < value < _LONGEST_DECIMAL else hex(value)


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "float('nan')"
    return "float('inf')" if value > 0 else "-float('inf')"


def _complex(value: complex) -> str:
    real, imag = value.real, value.imag
    finite = math.isfinite(real) and math.isfinite(imag)
    # 'a+bj' is a sum: it loses the sign of a zero.
    if finite and (imag or math.copysign(1, imag) > 0) and real:
        return repr(value)
    if finite and math.copysign(1, imag) > 0 and math.copysign(1, real) > 0:
        return repr(value)
    return f"complex({_float(real)}, {_float(imag)})"


def _list(value: list[object]) -> str:
    return f"[{', '.join(map(_text, value))}]"


def _tuple(value: tuple[object, ...]) -> str:
    return f"({_text(value[0])},)" if len(value) == 1 else f"({', '.join(map(_text, value))})"


def _members(value: set[Any] | frozenset[Any]) -> str:
    kinds = set(map(type, value))
    numbers = kinds <= {int, bool, float} and not any(member != member for member in value)  # noqa: PLR0124
    if numbers or kinds == {str}:
        return ", ".join(map(_text, _in_order(list(value))))
    texts = _in_order(list(map(_text, value)))
    return ", ".join(sorted(texts, key=len))


def _in_order(items: list[Any]) -> list[Any]:
    """Sort, by parts that do not take long."""
    if len(items) <= _MANY:
        return sorted(items)
    parts = [sorted(items[at : at + _MANY]) for at in range(0, len(items), _MANY)]
    return list(heapq.merge(*parts))


def _set(value: set[object]) -> str:
    return f"{{{_members(value)}}}" if value else "set()"


def _frozenset(value: frozenset[object]) -> str:
    return f"frozenset({{{_members(value)}}})" if value else "frozenset()"


def _dict(value: dict[Any, Any]) -> str:
    items = dict.items(value)
    return f"{{{', '.join(f'{_text(key)}: {_text(item)}' for key, item in items)}}}"


def _range(value: range) -> str:
    fields = [value.start, value.stop] if value.step == 1 else [value.start, value.stop, value.step]
    return f"range({', '.join(map(_int, fields))})"


def _counter(value: Counter[object]) -> str:
    return f"Counter({_dict(value)})" if value else "Counter()"


def _ordered(value: OrderedDict[object, object]) -> str:
    return f"OrderedDict({_list(list(value.items()))})" if value else "OrderedDict()"


def _default(value: defaultdict[object, object]) -> str:
    factory = value.default_factory
    return f"defaultdict({getattr(factory, '__name__', None)}, {_dict(value)})"


def _deque(value: deque[object]) -> str:
    limit = "" if value.maxlen is None else f", maxlen={value.maxlen}"
    return f"deque({_list(list(value))}{limit})"


def _decimal(value: Decimal) -> str:
    return f"Decimal('{value}')"


def _fraction(value: Fraction) -> str:
    return f"Fraction({_int(value.numerator)}, {_int(value.denominator)})"


def _scalar(value: Scalar) -> str:
    return f"numpy.{CALLED[value.dtype]}({_parts(value.dtype, value.item)})"


def _array(value: Array) -> str:
    if not value.is_list:
        return f"numpy.zeros({_tuple(value.shape)}, dtype='{value.dtype}')"
    return f"numpy.array({_parts(value.dtype, value.items)}, dtype='{value.dtype}')"


def _parts(dtype: str, nested: Any) -> str:
    """Nested lists of numbers, with as few digits as say which number of the type it is."""
    if type(nested) is list and dtype in NARROW:
        return f"[{', '.join([_parts(dtype, part) for part in nested])}]"
    if dtype not in NARROW or not _is_finite(nested):
        return _text(nested)
    if KINDS[dtype] is float:
        return _short(NARROW[dtype], nested)
    real, imag = _short(NARROW[dtype], nested.real), _short(NARROW[dtype], nested.imag)
    return f"complex({real}, {imag})"


def _is_finite(number: complex) -> bool:
    return math.isfinite(number.real) and math.isfinite(number.imag)


_DIGITS = {"e": (3, 4, 5), "f": (6, 7, 8, 9)}
"""So many digits say which number of a narrow type it is: mostly the first, always the last."""


def _short(letter: str, number: float) -> str:
    """The number with few digits, and as many as it takes to tell it from others of its type."""
    for digits in _DIGITS[letter]:
        short = float(f"{number:.{digits}g}")
        try:
            (found,) = unpack(letter, pack(letter, short))
        except OverflowError:  # rounded up, out of the range
            continue
        if found == number:
            return repr(short)
    return repr(number)


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): repr,
    bool: repr,
    int: _int,
    float: _float,
    complex: _complex,
    str: repr,
    bytes: repr,
    list: _list,
    tuple: _tuple,
    dict: _dict,
    set: _set,
    frozenset: _frozenset,
    type(...): lambda _: "...",
    range: _range,
    Counter: _counter,
    OrderedDict: _ordered,
    defaultdict: _default,
    deque: _deque,
    Decimal: _decimal,
    Fraction: _fraction,
    datetime.date: repr,
    datetime.time: repr,
    datetime.datetime: repr,
    datetime.timedelta: repr,
    datetime.timezone: repr,
    Scalar: _scalar,
    Array: _array,
}
