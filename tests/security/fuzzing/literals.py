"""Bytes to pairs of literal texts that are equal, nearly equal, or unlike; and what CPython's own
``==`` says about them. What a fuzzer changes in the bytes changes the texts."""

from __future__ import annotations

import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

# Texts of one row are alike: often equal, though of several types.
_ALIKE: tuple[tuple[str, ...], ...] = (
    ("0", "0.0", "-0.0", "False", "0j", "Decimal('0')", "Decimal('-0.00')", "Fraction(0)",
     "complex(0.0, -0.0)", "-0", "Decimal('0E+3')"),
    ("1", "True", "1.0", "1 + 0j", "Decimal(1)", "Decimal('1.00')", "Fraction(2, 2)", "0x1", "'1'"),
    ("-1", "-1.0", "-2", "Fraction(-1)", "Decimal('-1')", "complex(-1.0, 0.0)"),
    ("0.5", "Fraction(1, 2)", "Decimal('0.5')", "0.5 + 0j", ".5"),
    ("0.1", "Fraction(1, 10)", "Decimal('0.1')", "Decimal(0.1)"),
    ("9007199254740993", "9007199254740992.0", "9007199254740992", "Decimal('9007199254740993')",
     "Fraction(9007199254740993)", "complex(9007199254740992.0, 0)"),
    ("float('nan')", "-float('nan')", "Decimal('NaN')", "Decimal('sNaN')", "0", "'nan'"),
    ("1e999", "float('inf')", "Decimal('Infinity')", "-float('inf')", "complex(1e999, 0.0)"),
    ("2j", "complex(0, 2)", "complex(-0.0, 2.0)", "complex('2j')", "2"),
    ("'a'", "b'a'", "str('a')", "'b'", "('a')", "f'a'"),
    ("''", "b''", "()", "None", "...", "range(0)", "bytes([])"),
    ("range(0, 5, 2)", "range(0, 6, 2)", "range(5)", "range(3, 3)", "[0, 2, 4]", "range(0)"),
    ("1606780800", "1 << 80", "1208925819614629174706176", "1208925819614629174706176.0",
     "Decimal('1208925819614629174706176')", "Decimal('1.208925819614629174706176E+24')"),
    ("datetime.date(2020, 1, 1)", "datetime.datetime(2020, 1, 1)",
     "datetime.datetime(2020, 1, 1, tzinfo=timezone.utc)",
     "datetime.datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))",
     "datetime.datetime(2020, 1, 1, fold=1)"),
    ("datetime.time(1)", "time(1, tzinfo=timezone.utc)", "time(1, fold=1)",
     "time(2, tzinfo=timezone(timedelta(hours=1)))"),
    ("timedelta(1)", "timedelta(hours=24)", "timedelta(days=1.0)", "timedelta(0, 86399, 999999)"),
    ("timezone.utc", "timezone(timedelta(0))", "timezone(timedelta(0), 'UTC')", "datetime.UTC",
     "timezone(timedelta(hours=-1))"),
)  # fmt: skip
_SEQUENCES = ("[{}]", "({},)", "deque([{}])", "deque([{}], 9)", "list(({},))", "tuple([{}])")
_SETS = ("{{{}}}", "frozenset({{{}}})", "set([{}])", "frozenset([{}])", "[{}]")
_MAPPINGS = (
    "{{{}}}", "dict({{{}}})", "Counter({{{}}})", "OrderedDict({{{}}})",
    "defaultdict(int, {{{}}})", "defaultdict(None, {{{}}})",
)  # fmt: skip
_EMPTY = ("[]", "()", "{}", "set()", "frozenset()", "Counter()", "OrderedDict()", "deque()",
          "defaultdict(list)", "dict()")  # fmt: skip
_MAX_DEPTH = 4


class Choices:
    """Numbers below a bound, one for each byte; zeros when the bytes are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def below(self, bound: int) -> int:
        return next(self._data, 0) % bound


class Pair(NamedTuple):
    """Two texts of literals."""

    first: str
    second: str


def pair(choices: Choices, depth: int = 0) -> Pair:
    """Return the two texts that the choices make."""
    kind = choices.below(12)
    if kind < 5 or depth >= _MAX_DEPTH:
        return _scalars(choices)
    if kind == 5:
        return Pair(_EMPTY[choices.below(len(_EMPTY))], _EMPTY[choices.below(len(_EMPTY))])
    if kind < 9:
        return _several(choices, depth, _SEQUENCES, shuffles=False)
    if kind == 9:
        return _several(choices, depth, _SETS, shuffles=True)
    return _mappings(choices, depth)


def _scalars(choices: Choices) -> Pair:
    row = _ALIKE[choices.below(len(_ALIKE))]
    other = row if choices.below(8) else _ALIKE[choices.below(len(_ALIKE))]
    return Pair(row[choices.below(len(row))], other[choices.below(len(other))])


def _several(choices: Choices, depth: int, forms: tuple[str, ...], shuffles: bool) -> Pair:
    members = [pair(choices, depth + 1) for _ in range(1 + choices.below(3))]
    second = _changed(choices, [each.second for each in members], shuffles)
    return _formed(choices, forms, [each.first for each in members], second)


def _mappings(choices: Choices, depth: int) -> Pair:
    keys = [_scalars(choices) for _ in range(1 + choices.below(3))]
    items = [pair(choices, depth + 1) for _ in keys]
    first = [f"{key.first}: {item.first}" for key, item in zip(keys, items, strict=True)]
    second = [f"{key.second}: {item.second}" for key, item in zip(keys, items, strict=True)]
    return _formed(choices, _MAPPINGS, first, _changed(choices, second, True))


def _changed(choices: Choices, parts: list[str], shuffles: bool) -> list[str]:
    how = choices.below(8)
    if how == 1 or (how > 5 and shuffles):
        return parts[::-1]
    return parts[:-1] if how == 2 and len(parts) > 1 else parts


def _formed(choices: Choices, forms: tuple[str, ...], first: list[str], second: list[str]) -> Pair:
    form = choices.below(len(forms))
    other = form if choices.below(4) else choices.below(len(forms))
    return Pair(forms[form].format(", ".join(first)), forms[other].format(", ".join(second)))


# ---- what CPython says ---------------------------------------------------------------------------


class _NotANumber:
    """Stands for NaN, which is to equal itself and nothing else: as this object does."""

    def __neg__(self) -> _NotANumber:
        return self


_FLOAT_NAN, _DECIMAL_NAN = _NotANumber(), _NotANumber()
_TYPES: dict[str, Any] = {
    "Counter": Counter, "OrderedDict": OrderedDict, "defaultdict": defaultdict, "deque": deque,
    "Decimal": Decimal, "Fraction": Fraction, "datetime": datetime,
    "time": datetime.time, "timedelta": datetime.timedelta, "timezone": datetime.timezone,
}  # fmt: skip


def evaluated(text: str, *, decimal_nan: bool = False) -> Any:
    """Evaluate a text of :func:`pair` with CPython, but with objects for NaN; those of a Decimal
    are the float's one unless ``decimal_nan``. Raises what the expression raises."""
    for nan, name in (("float('nan')", "FN"), ("Decimal('NaN')", "DN"), ("Decimal('sNaN')", "DN")):
        text = text.replace(nan, name)
    names = {"FN": _FLOAT_NAN, "DN": _DECIMAL_NAN if decimal_nan else _FLOAT_NAN}
    return eval(text, {**_TYPES, **names})


def strictly_equal(a: Any, b: Any) -> bool:
    """The slow definition of strict equality: equal, and of equal types at every level."""
    if type(a) is not type(b):
        return False
    if isinstance(a, _NotANumber):
        return a is b
    if isinstance(a, (list, tuple, deque)):
        return len(a) == len(b) and all(map(strictly_equal, a, b))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and all(any(strictly_equal(x, y) for y in b) for x in a)
    if isinstance(a, dict):
        return _strictly_equal_items([*dict.items(a)], [*dict.items(b)], type(a))
    return bool(a == b)


def _strictly_equal_items(a: list[Any], b: list[Any], kind: type) -> bool:
    if kind is Counter:  # to which a missing key is zero
        a, b = ([(k, n) for k, n in items if type(n) is not int or n != 0] for items in (a, b))
    if kind is OrderedDict:
        return strictly_equal(a, b)
    return len(a) == len(b) and all(any(strictly_equal(x, y) for y in b) for x in a)
