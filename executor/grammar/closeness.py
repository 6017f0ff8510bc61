"""Equality of values with tolerance: of numbers, of order, of texts that are numbers, of JSON.

For values that are not equal as they are (see ``compare.py``). Both are of the grammar, and what is
compared with what has a budget.
"""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from executor.grammar.arrays import Array, Scalar
from executor.grammar.compare import MAX_STEPS, TooCostly, equal

_LISTS = (list, tuple, deque)
_SETS = (set, frozenset)
_MAPPINGS = (dict, Counter, OrderedDict, defaultdict)
_REALS = (bool, int, float, Decimal, Fraction)
_NUMBER = re.compile(
    r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?|[+-]?(?:inf|nan)", re.I | re.A
)
_LONGEST_NUMBER = 400
_PAIR_COST = 20


@dataclass(frozen=True)
class Tolerance:
    """Tolerances; see :class:`executor.models.Compare`."""

    atol: float = 0.0
    rtol: float = 0.0
    unordered: bool = False
    float_text: bool = False
    as_json: bool = False
    strict: bool = False
    """Types must be equal, whatever else need not be."""


def close(actual: object, expected: object, tolerance: Tolerance) -> bool:
    """Whether a value is near enough to the expected one. Raises :class:`TooCostly`."""
    return _Comparison(tolerance).outer(actual, expected)


def number_of(text: str) -> float | None:
    """The number that a text is, as programs print them; ``None`` if it is none."""
    text = text.strip()
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    return float(text)


def near(actual: float, expected: float, atol: float, rtol: float) -> bool:
    """Whether two floats are equal, or no further apart than they may be; NaN is near to NaN."""
    if actual == expected or (math.isnan(actual) and math.isnan(expected)):
        return True
    if math.isinf(actual) or math.isinf(expected):
        return False
    return abs(actual - expected) <= max(atol, rtol * abs(expected))


class _Comparison:
    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._steps = MAX_STEPS

    def outer(self, actual: object, expected: object) -> bool:
        """The values as a whole, the order of which may not matter."""
        actual, expected = self._plain(actual, expected)
        if self._tolerance.unordered and self._are_lists(actual, expected):
            return self._same_members(actual, expected)  # type: ignore[arg-type]
        return self.values(actual, expected)

    def values(self, actual: Any, expected: Any) -> bool:
        """Two parts."""
        self._spend(1)
        actual, expected = self._plain(actual, expected)
        if isinstance(actual, _REALS) and isinstance(expected, _REALS):
            return self._types_fit(actual, expected) and self._numbers(actual, expected)
        if isinstance(actual, complex) and isinstance(expected, complex):
            return self._numbers(actual.real, expected.real) and self._numbers(
                actual.imag, expected.imag
            )
        if self._tolerance.float_text and (isinstance(actual, str) or isinstance(expected, str)):
            return self._texts(actual, expected)
        return self._containers(actual, expected)

    def _plain(self, actual: object, expected: object) -> tuple[object, object]:
        """What two values of numpy hold; if types matter, as long as they have the same."""
        if self._tolerance.strict and _type(actual) != _type(expected):
            return actual, expected
        return _held(actual), _held(expected)

    def _containers(self, actual: Any, expected: Any) -> bool:
        if self._are_lists(actual, expected):
            return len(actual) == len(expected) and all(map(self.values, actual, expected))
        if isinstance(actual, _SETS) and isinstance(expected, _SETS):
            return self._types_fit(actual, expected) and self._same_members(actual, expected)
        if isinstance(actual, _MAPPINGS) and isinstance(expected, _MAPPINGS):
            return self._types_fit(actual, expected) and self._mappings(actual, expected)
        return self._equal(actual, expected)

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise TooCostly

    def _equal(self, actual: object, expected: object) -> bool:
        # What it has cost is not told: with the least it may cost, each part is paid for.
        self._spend(_PAIR_COST)
        return equal(actual, expected, self._tolerance.strict, max_steps=max(self._steps, 1))

    def _types_fit(self, actual: object, expected: object) -> bool:
        return not self._tolerance.strict or type(actual) is type(expected)

    def _are_lists(self, actual: object, expected: object) -> bool:
        if not (isinstance(actual, _LISTS) and isinstance(expected, _LISTS)):
            return False
        if self._tolerance.as_json:
            return True
        return type(actual) is type(expected)

    def _numbers(self, actual: Any, expected: Any) -> bool:
        if self._equal(actual, expected):
            return True
        atol, rtol = self._tolerance.atol, self._tolerance.rtol
        whole = isinstance(actual, int) and isinstance(expected, int)
        if whole or not (atol or rtol):
            return False
        try:
            return near(float(actual), float(expected), atol, rtol)
        except (OverflowError, ValueError):
            return False

    def _texts(self, actual: object, expected: object) -> bool:
        if actual == expected:
            return True
        first, second = _as_number(actual), _as_number(expected)
        return first is not None and second is not None and self._numbers(first, second)

    def _mappings(self, actual: Mapping[Any, Any], expected: Mapping[Any, Any]) -> bool:
        if len(actual) != len(expected):
            return False
        if self._tolerance.as_json:
            actual, expected = _with_text_keys(actual), _with_text_keys(expected)
        if all(type(key) in (str, int, bytes) for key in (*actual, *expected)):
            return actual.keys() == expected.keys() and all(
                self.values(actual[key], expected[key]) for key in expected
            )
        return self._same_members(list(actual.items()), list(expected.items()))

    def _same_members(self, actual: Iterable[Any], expected: Iterable[Any]) -> bool:
        """Whether the members can be paired; each takes the first that is near enough."""
        left = list(expected)
        members = list(actual)
        if len(left) != len(members):
            return False
        try:  # the usual case, in which they are near one another in order
            members.sort()
            left.sort()
        except TypeError:
            pass
        for member in members:
            for place, other in enumerate(left):
                if self.values(member, other):
                    del left[place]
                    break
            else:
                return False
        return True


def _type(value: object) -> object:
    """The type of a value, and of what is in one of numpy."""
    return (type(value), value.dtype) if isinstance(value, Array | Scalar) else None


def _held(value: object) -> object:
    """The plain value in one of numpy."""
    if isinstance(value, Scalar):
        return value.item
    return value.items if isinstance(value, Array) and value.is_list else value


def _as_number(value: object) -> Any:
    if isinstance(value, str):
        return number_of(value)
    return value if isinstance(value, _REALS) else None


def _with_text_keys(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """The keys as JSON writes them."""
    names = {True: "true", False: "false", None: "null"}
    return {
        names[key] if type(key) in (bool, type(None)) else _key_text(key): value
        for key, value in mapping.items()
    }


def _key_text(key: Any) -> Any:
    if type(key) is float or (type(key) is int and key.bit_length() < _LONGEST_NUMBER):
        return str(key)
    return key
