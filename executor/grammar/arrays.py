"""Scalars and arrays of numpy as values of the grammar, where no numpy is: types, shapes, numbers.

What they hold is what numpy's own ``tolist()`` and ``item()`` give.
"""

from __future__ import annotations

from itertools import chain
from struct import pack, unpack
from typing import Any

MAX_DIMENSIONS = 64
"""As numpy has them."""
_MAX_LENGTH = (1 << 63) - 1

_INTS = {f"int{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)}
_UNSIGNED = {f"uint{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)}
RANGES: dict[str, tuple[int, int]] = _INTS | _UNSIGNED
"""The least and the greatest number of the types of integers."""
NARROW = {"float16": "e", "float32": "f", "complex64": "f"}
"""Types of fewer digits than Python's floats have, with their letters in ``struct``."""
KINDS: dict[str, type] = {
    "bool": bool,
    **dict.fromkeys(RANGES, int),
    **dict.fromkeys(("float16", "float32", "float64"), float),
    **dict.fromkeys(("complex64", "complex128"), complex),
    "str": str,
    "bytes": bytes,
}
"""All types of elements, and what they are in Python. The width of texts is no part of a type."""
CALLED = {name: f"{name}_" if name in ("bool", "str", "bytes") else name for name in KINDS}
"""What numpy calls the scalars of a type."""


class Scalar:
    """A scalar of numpy. Equal to the plain value, as that of numpy is, and hashed like it."""

    __slots__ = ("dtype", "item")

    def __init__(self, dtype: str, item: Any) -> None:
        """Raises ValueError if ``item`` is not of that type."""
        check(dtype, [item])
        self.dtype = dtype
        self.item = item

    def __eq__(self, other: object) -> bool:
        """Of a NaN too, as long as it is the same object."""
        if type(other) is Scalar:
            other = other.item
        return self.item is other or bool(self.item == other)

    def __hash__(self) -> int:
        return hash(self.item)


class Array:
    """An array of numpy, as nested lists of plain values."""

    __slots__ = ("dtype", "items", "shape")
    __hash__ = None  # type: ignore[assignment] # as numpy's

    def __init__(self, dtype: str, content: object) -> None:
        """``content``: nested lists; a plain value for an array without dimensions; the shape, as a
        tuple, for one without elements.

        Raises ValueError if it is none of these, or not of that type.
        """
        if type(content) is tuple:
            self.shape = _empty_shape(content)
            self.items: Any = []
            check(dtype, [])
        else:
            self.shape, parts = measured(content)
            self.items = content
            check(dtype, parts)
        self.dtype = dtype

    @property
    def content(self) -> object:
        """What it can be made of again."""
        return self.shape if 0 in self.shape else self.items

    @property
    def is_list(self) -> bool:
        """Whether nested lists say all but the type: not of empty ones of several dimensions."""
        return 0 not in self.shape or len(self.shape) == 1


def _empty_shape(shape: tuple[object, ...]) -> tuple[int, ...]:
    found = tuple([length for length in shape if type(length) is int])
    if len(found) != len(shape) or len(found) > MAX_DIMENSIONS or 0 not in found:
        raise ValueError("not the shape of an empty array")
    if not all(0 <= length <= _MAX_LENGTH for length in found):
        raise ValueError("an array with a bad length")
    return found


def measured(nested: object) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of nested lists, and all that is in them in one list. Raises ValueError if they are
    no array."""
    shape: list[int] = []
    level: list[Any] = [nested]
    while level and type(level[0]) is list:
        if set(map(type, level)) != {list} or len(set(map(len, level))) != 1:
            raise ValueError("lists of different lengths are no array")
        shape.append(len(level[0]))
        if len(shape) > MAX_DIMENSIONS:
            raise ValueError(f"an array of more than {MAX_DIMENSIONS} dimensions")
        level = list(chain.from_iterable(level))
    return tuple(shape), level


def check(dtype: str, parts: list[Any]) -> None:
    """Raise ValueError unless all parts are just what elements of a type can be."""
    kind = KINDS.get(dtype) if type(dtype) is str else None
    if kind is None:
        raise ValueError("no known type of numpy")
    if not parts:
        return
    if set(map(type, parts)) != {kind}:
        raise ValueError(f"not all of type {dtype}")
    if dtype in RANGES:
        low, high = RANGES[dtype]
        if min(parts) < low or max(parts) > high:
            raise ValueError(f"a number out of the range of {dtype}")
    elif dtype in NARROW:
        if any(a != b and a == a for a, b in zip(parts, rounded(dtype, parts), strict=True)):  # noqa: PLR0124
            raise ValueError(f"a number with more digits than {dtype} has")
    elif kind in (str, bytes):
        nul = kind(b"\0") if kind is bytes else "\0"
        if any(part.endswith(nul) for part in parts):
            raise ValueError("a text that ends with NUL, which numpy cuts off")


def rounded(dtype: str, parts: list[Any]) -> list[Any]:
    """Floats, or complex numbers, as a narrow type has them. Raises OverflowError."""
    letter = NARROW[dtype]
    if KINDS[dtype] is complex:
        flat = [side for part in parts for side in (part.real, part.imag)]
        sides = _through(letter, flat)
        return list(map(complex, sides[::2], sides[1::2]))
    return list(_through(letter, parts))


def _through(letter: str, numbers: list[float]) -> tuple[float, ...]:
    layout = f"<{len(numbers)}{letter}"
    return unpack(layout, pack(layout, *numbers))
