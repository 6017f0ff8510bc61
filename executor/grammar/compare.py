"""Equality of values, and where two values first differ.

The values are those of the grammar: decoded from bytes or parsed from literal text.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from executor.grammar.decode import NAN
from executor.grammar.encode import encode
from executor.grammar.text import literal_text

_NO_LIMIT = 1 << 62
_SCALARS = {type(None), bool, int, str, bytes}
_TAGGED = {bool, complex, Fraction}
_WIDEST_DECIMAL_BITS = 70_000
_MAX_SHOWN = 80
# What Python's == must not see (a Decimal beside a wide int is quadratic, a nested Counter is
# exponential, a signalling NaN raises), or answers differently (NaN). May match too much.
_DELICATE = re.compile(
    rb"X\x07(?:Counter|Decimal)|(?:g|y|y.{8}).{6}[\xf0-\xff][\x7f\xff]", re.DOTALL
)


def equal(a: object, b: object, strict: bool = False) -> bool:
    """Say whether two values are equal as Python's ``==`` has it, but with NaN equal to NaN.

    ``strict`` also wants equal types at every level (``1`` is not ``1.0``; ``0.0`` is ``-0.0``).
    Key order counts between two OrderedDicts only. Raises
    :class:`executor.grammar.encode.Unserializable` for a value outside the grammar.
    """
    if type(a) is type(b) and type(a) in _SCALARS:
        return a == b
    # Equal bytes are equal values, types included, and marshal is fast.
    left, right = encode(a, _NO_LIMIT), encode(b, _NO_LIMIT)
    if left == right:
        return True
    if not (_DELICATE.search(left) or _DELICATE.search(right)):
        if a != b:
            return False
        if not strict:
            return True
    # In a list, because there the one NaN object equals itself.
    return [_canonical(a, strict)] == [_canonical(b, strict)]


def _canonical(value: object, strict: bool) -> object:
    """Return a form for which plain ``==`` is the equality wanted; hashable if the value is."""
    kind = type(value)
    convert = _CANONICAL.get(kind)
    if convert is not None:
        return convert(value, strict)
    return (kind, value) if strict and kind in _TAGGED else value


def _int(value: int, strict: bool) -> object:
    # Wider than any Decimal: keep the two from being compared.
    return value if strict or value.bit_length() <= _WIDEST_DECIMAL_BITS else (int, value)


def _float(value: float, strict: bool) -> object:
    value = value if value == value else NAN  # noqa: PLR0124
    return (float, value) if strict else value


def _complex(value: complex, strict: bool) -> object:
    real, imag = _float(value.real, False), _float(value.imag, False)
    if strict or real is NAN or imag is NAN:
        return NAN if not strict and imag == 0 else (complex, real, imag)
    return value


def _decimal(value: Decimal, strict: bool) -> object:
    plain = NAN if value.is_nan() else value
    return (Decimal, plain) if strict else plain


def _list(value: list[object], strict: bool) -> object:
    return [_canonical(item, strict) for item in value]


def _tuple(value: tuple[object, ...], strict: bool) -> object:
    return tuple([_canonical(item, strict) for item in value])


def _set(value: set[object] | frozenset[object], strict: bool) -> object:
    members = frozenset([_canonical(item, strict) for item in value])
    return (type(value) if strict else frozenset, members, len(value))


def _mapping(value: dict[object, object], strict: bool) -> object:
    mapping = _Mapping(value, strict)
    return (type(value), mapping) if strict else mapping


def _deque(value: deque[object], strict: bool) -> object:
    return (deque, [_canonical(item, strict) for item in value])


class _Mapping:
    """A dict of canonical items, with the equality of the kind of dict it was."""

    __slots__ = ("counts", "items", "order", "size")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: dict[object, object], strict: bool) -> None:
        pairs = [(_canonical(key, strict), item) for key, item in dict.items(value)]
        self.size = len(value)
        self.items = {key: _canonical(item, strict) for key, item in pairs}
        self.order: list[object] | None = None
        self.counts: dict[object, object] | None = None
        if type(value) is OrderedDict:
            self.order = [_canonical(key, strict) for key in value]
        elif type(value) is Counter:
            # To a Counter a missing key is zero.
            self.counts = {k: self.items[k] for k, item in pairs if not _is_zero(item, strict)}

    def __eq__(self, other: object) -> bool:
        if type(other) is not _Mapping:
            return NotImplemented
        if self.counts is not None and other.counts is not None:
            return self.counts == other.counts
        if self.size != other.size:
            return False
        if self.order is not None and other.order is not None and self.order != other.order:
            return False
        return self.items == other.items


def _is_zero(value: object, strict: bool) -> bool:
    if strict:
        return type(value) is int and value == 0
    if type(value) is Decimal:
        return value.is_zero()
    return type(value) in (bool, int, float, complex, Fraction) and value == 0


_CANONICAL: dict[type, Callable[[Any, bool], object]] = {
    int: _int,
    float: _float,
    complex: _complex,
    Decimal: _decimal,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _set,
    dict: _mapping,
    Counter: _mapping,
    OrderedDict: _mapping,
    defaultdict: _mapping,
    deque: _deque,
}


def first_difference(a: object, b: object, strict: bool = False) -> str:
    """Return a short sentence on where two unequal values first differ, for people.

    For example ``at [2]['k']: 3 against 4``; ``no difference`` if they are equal.
    """
    path = ""
    while not equal(a, b, strict):
        step = _step(a, b, strict)
        if step is None:
            return _against(path, _shown(a), _shown(b), a, b)
        if isinstance(step, str):
            return f"at {path}: {step}" if path else step
        part, a, b = step
        path += part
    return "no difference"


def _step(a: object, b: object, strict: bool) -> tuple[str, object, object] | str | None:
    """Find the first part that differs: its path and both parts, or words, or nothing."""
    if type(a) is not type(b) and not (isinstance(a, dict) and isinstance(b, dict)):
        return None
    if isinstance(a, dict) and isinstance(b, dict):
        return _dict_step(a, b, strict)
    if isinstance(a, (set, frozenset)) and isinstance(b, (set, frozenset)):
        return _set_step(a, b, strict)
    if isinstance(a, (list, tuple, deque)) and isinstance(b, (list, tuple, deque)):
        return _sequence_step(list(a), list(b), strict)
    return None


def _sequence_step(
    a: list[object], b: list[object], strict: bool
) -> tuple[str, object, object] | str | None:
    for index, (left, right) in enumerate(zip(a, b, strict=False)):
        if not equal(left, right, strict):
            return f"[{index}]", left, right
    if len(a) == len(b):
        return None
    return f"{len(a)} items against {len(b)}"


def _by_form(keys: Any, strict: bool) -> dict[object, object]:
    return {_canonical(key, strict): key for key in keys}


def _dict_step(
    a: dict[object, object], b: dict[object, object], strict: bool
) -> tuple[str, object, object] | str | None:
    left, right = _by_form(a, strict), _by_form(b, strict)
    counts = type(a) is Counter and type(b) is Counter
    for form, key in {**right, **left}.items():
        if not counts and form not in right:
            return f"key {_shown(key)} is only in the first"
        if not counts and form not in left:
            return f"key {_shown(key)} is only in the second"
        # A missing key of a Counter is zero.
        ours = a[left[form]] if form in left else 0
        theirs = b[right[form]] if form in right else 0
        if not equal(ours, theirs, strict):
            return f"[{_shown(key)}]", ours, theirs
    return None if type(a) is not type(b) else "the keys are in another order"


def _set_step(
    a: set[object] | frozenset[object], b: set[object] | frozenset[object], strict: bool
) -> str | None:
    left, right = _by_form(a, strict), _by_form(b, strict)
    for where, ours, theirs in (("first", left, right), ("second", right, left)):
        missing = sorted(literal_text(item) for form, item in ours.items() if form not in theirs)
        if missing:
            return f"member {_cut(missing[0])} is only in the {where}"
    return None


def _against(path: str, left: str, right: str, a: object, b: object) -> str:
    if left == right or type(a) is not type(b):
        left, right = f"{left} ({type(a).__name__})", f"{right} ({type(b).__name__})"
    sentence = f"{left} against {right}"
    return f"at {path}: {sentence}" if path else sentence


def _shown(value: object) -> str:
    return _cut(literal_text(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
