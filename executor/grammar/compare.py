"""Equality of values, and where two values first differ.

The values are those of the grammar: decoded from bytes or parsed from literal text. Both questions
are answered by one descent that looks at each part once, with a budget for what is not cheap to
compare.
"""

from __future__ import annotations

import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from executor.grammar.arrays import Array, Scalar
from executor.grammar.decode import NAN
from executor.grammar.encode import Unserializable
from executor.grammar.text import literal_text

MAX_STEPS = 2_000_000
"""Steps that a comparison may take: about a microsecond each, one for each part of a value."""

NO_DIFFERENCE = "no difference"
TOO_LONG = "they take too long to compare to say where"

_MAX_SHOWN = 80
_NARROW_DIGITS = 500
"""Decimals of so many digits, before or after the point, are compared as they are."""
_NARROW_BITS = 4000
"""No such Decimal, and no float, is equal to a number that is wider."""
_WIDE_COST = 5000

_SEQUENCES = frozenset({list, tuple, deque})
_SETS = frozenset({set, frozenset})
_MAPPINGS = frozenset({dict, Counter, OrderedDict, defaultdict})
_NUMBERS = frozenset({bool, int, float, complex, Decimal, Fraction})
_PLAIN = frozenset(
    {type(None), bool, int, str, bytes, type(...), range, datetime.date, datetime.time,
     datetime.datetime, datetime.timedelta, datetime.timezone}
)  # fmt: skip
"""Types whose own ``==`` is the equality wanted, among values of one of them."""
_CHEAP = _PLAIN | {float}
_HASHED = frozenset({type(None), int, str, bytes})
"""Types of which sets are compared as they are, if all members are of one of them."""


class TooCostly(Exception):
    """The comparison would take longer than it may."""


class _Difference(Exception):
    """The place where two values differ."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.path: list[str] = []
        """From the innermost part outwards."""

    def __str__(self) -> str:
        path = "".join(reversed(self.path))
        return f"at {path}: {self.sentence}" if path else self.sentence


def equal(a: object, b: object, strict: bool = False, max_steps: int = MAX_STEPS) -> bool:
    """Say whether two values are equal as Python's ``==`` has it, but with NaN equal to NaN.

    ``strict`` also wants equal types at every level (``1`` is not ``1.0``; ``0.0`` is ``-0.0``).
    Key order counts between two OrderedDicts only. A scalar of numpy equals its ``item()``; an
    array equals its ``tolist()``, and one of the same shape with equal elements.

    Raises:
        Unserializable: a value outside the grammar.
        TooCostly: it takes more than ``max_steps``.
    """
    if type(a) is type(b) and type(a) in _PLAIN and max_steps:
        return a == b
    try:
        _Descent(strict, max_steps, explain=False).compare(a, b)
    except _Difference:
        return False
    return True


def first_difference(a: object, b: object, strict: bool = False, max_steps: int = MAX_STEPS) -> str:
    """Return a short sentence on where two unequal values first differ, for people.

    For example ``at [2]['k']: 3 against 4``; :data:`NO_DIFFERENCE` if they are equal, and
    :data:`TOO_LONG` if it takes more than ``max_steps``.
    """
    try:
        _Descent(strict, max_steps, explain=True).compare(a, b)
    except _Difference as difference:
        return str(difference)
    except TooCostly:
        return TOO_LONG
    return NO_DIFFERENCE


class _Descent:
    """Compares two values part by part; raises :class:`_Difference` at the first that differs."""

    def __init__(self, strict: bool, steps: int, *, explain: bool) -> None:
        self._strict = strict
        self._left = steps
        self._explain = explain

    def compare(self, a: object, b: object) -> None:
        """Raise if the two differ."""
        self._spend(1)
        kind, other = type(a), type(b)
        if kind is other and kind in _PLAIN:
            if a != b:
                self._differ(a, b)
        elif kind in _SEQUENCES and kind is other:
            self._sequences(a, b)  # type: ignore[arg-type]
        elif kind in _MAPPINGS and other in _MAPPINGS and (kind is other or not self._strict):
            self._mappings(a, b)  # type: ignore[arg-type]
        elif kind in _SETS and other in _SETS and (kind is other or not self._strict):
            self._sets(a, b)  # type: ignore[arg-type]
        elif kind is Array or other is Array:
            self._arrays(a, b)
        elif [self._form(a)] != [self._form(b)]:  # in a list the one NaN object equals itself
            self._differ(a, b)

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooCostly

    def _differ(self, a: object, b: object) -> None:
        raise _Difference(_against(a, b) if self._explain else "")

    def _part(self, path: str, a: object, b: object) -> None:
        try:
            self.compare(a, b)
        except _Difference as difference:
            difference.path.append(path)
            raise

    def _sequences(self, a: Collection[object], b: Collection[object]) -> None:
        if len(a) != len(b) and not self._explain:
            raise _Difference("")
        for index, (left, right) in enumerate(zip(a, b, strict=False)):
            kind = type(left)
            if kind is type(right) and kind in _CHEAP and left == right:
                continue  # the most common case, without a call
            self._part(f"[{index}]", left, right)
        self._spend(len(a))
        if len(a) != len(b):
            raise _Difference(f"{len(a)} items against {len(b)}")

    def _sets(self, a: Collection[object], b: Collection[object]) -> None:
        self._spend(len(a) + len(b))
        if len(a) != len(b) and not self._explain:
            raise _Difference("")
        if set(map(type, a)) | set(map(type, b)) <= _HASHED:
            ours, theirs = set(a).difference(b), set(b).difference(a)
        else:
            left, right = self._by_form(a), self._by_form(b)
            ours = {key for form, key in left.items() if form not in right}
            theirs = {key for form, key in right.items() if form not in left}
        if not ours and not theirs and len(a) == len(b):
            return
        if self._explain and type(a) is type(b):
            for where, missing in (("first", ours), ("second", theirs)):
                if missing:
                    text = _cut(min(map(literal_text, missing)))
                    raise _Difference(f"member {text} is only in the {where}")
        self._differ(a, b)

    def _arrays(self, a: object, b: object) -> None:
        if type(a) is Array and type(b) is Array:
            if self._strict and a.dtype != b.dtype:
                self._differ(a, b)
            if a.shape != b.shape:
                raise _Difference(f"an array of shape {a.shape} against one of {b.shape}")
            self.compare(a.items, b.items)
            return
        one = a if type(a) is Array else b
        if self._strict or not (type(one) is Array and one.is_list):
            self._differ(a, b)
        self.compare(*(side.items if type(side) is Array else side for side in (a, b)))

    def _mappings(self, a: dict[object, object], b: dict[object, object]) -> None:
        counts = type(a) is Counter and type(b) is Counter
        if not counts and len(a) != len(b) and not self._explain:
            raise _Difference("")
        left, right = self._by_form(a), self._by_form(b)
        for form, key in {**right, **left}.items():
            if form in left and form in right:
                self._item(key, dict.get(a, left[form]), dict.get(b, right[form]))
            elif counts:  # a missing key of a Counter is zero
                ours = dict.get(a, left[form]) if form in left else 0
                theirs = dict.get(b, right[form]) if form in right else 0
                if not _is_zero(ours if form in left else theirs, self._strict):
                    self._item(key, ours, theirs, differ=True)
            else:
                where = "first" if form in left else "second"
                raise _Difference(f"key {_shown(key)} is only in the {where}")
        ordered = type(a) is OrderedDict and type(b) is OrderedDict
        if ordered and list(left) != list(right):
            raise _Difference("the keys are in another order")

    def _item(self, key: object, a: object, b: object, *, differ: bool = False) -> None:
        path = f"[{_shown(key)}]" if self._explain else ""
        try:
            self._differ(a, b) if differ else self.compare(a, b)
        except _Difference as difference:
            difference.path.append(path)
            raise

    def _by_form(self, keys: Iterable[object]) -> dict[object, object]:
        return {self._form(key): key for key in keys}

    def _form(self, value: object) -> object:
        """A form for which plain ``==`` is the equality wanted; hashable if the value is."""
        self._spend(1)
        kind = type(value)
        if kind in _NUMBERS:
            return self._number(value, kind)
        if kind is tuple:
            return tuple([self._form(item) for item in value])  # type: ignore[attr-defined]
        if kind in _SETS:
            members = frozenset([self._form(item) for item in value])  # type: ignore[attr-defined]
            return (kind if self._strict else frozenset, members, len(value))  # type: ignore[arg-type]
        if kind in _PLAIN:
            return value
        if kind is Scalar:
            item = self._form(value.item)  # type: ignore[attr-defined]
            return (Scalar, value.dtype, item) if self._strict else item  # type: ignore[attr-defined]
        if kind in _SEQUENCES or kind in _MAPPINGS or kind is Array:
            return _Other(value)
        raise Unserializable(f"a value of type {kind.__name__[:80]}")

    def _number(self, value: object, kind: type) -> object:
        if kind is int or kind is bool:
            number: object = _tagged(value, value.bit_length())  # type: ignore[attr-defined]
        elif kind is float:
            number = value if value == value else NAN  # noqa: PLR0124
        elif kind is complex:
            return self._complex(value)  # type: ignore[arg-type]
        elif kind is Decimal:
            number = self._decimal(value)  # type: ignore[arg-type]
        else:
            number = _exact(value)  # type: ignore[arg-type]
        return (kind, number) if self._strict else number

    def _decimal(self, value: Decimal) -> object:
        if value.is_nan():
            return NAN
        if not value.is_finite():
            return float(value)
        if not value:
            return 0
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        if len(digits) <= _NARROW_DIGITS and -_NARROW_DIGITS <= exponent <= _NARROW_DIGITS:
            return value
        self._spend(_WIDE_COST)
        return _exact(Fraction(value))

    def _complex(self, value: complex) -> object:
        real, imag = (part if part == part else NAN for part in (value.real, value.imag))  # noqa: PLR0124
        if self._strict or real is NAN or imag is NAN:
            return NAN if not self._strict and imag == 0 else (complex, real, imag)
        return value


class _Other:
    """A value that is not hashed and equals nothing of another kind."""

    def __init__(self, value: object) -> None:
        self.value = value


class _Wide(NamedTuple):
    """A number that is equal to none but one of its own kind."""

    kind: type
    value: object


def _exact(value: Fraction) -> object:
    above, below = value.numerator, value.denominator
    if below == 1:
        return _tagged(above, above.bit_length())
    return _tagged(value, max(above.bit_length(), below.bit_length()))


def _tagged(value: object, bits: int) -> object:
    return value if bits <= _NARROW_BITS else _Wide(type(value), value)


def _is_zero(value: object, strict: bool) -> bool:
    if type(value) is Scalar:
        return not strict and _is_zero(value.item, strict)
    if strict:
        return type(value) is int and value == 0
    if type(value) is Decimal:
        return value.is_zero()
    return type(value) in (bool, int, float, complex, Fraction) and value == 0


def _against(a: object, b: object) -> str:
    left, right = _shown(a), _shown(b)
    if left == right or type(a) is not type(b):
        left, right = f"{left} ({type(a).__name__})", f"{right} ({type(b).__name__})"
    return f"{left} against {right}"


def _shown(value: object) -> str:
    return _cut(literal_text(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
