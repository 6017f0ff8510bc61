"""numpy's own scalars and arrays, made of the grammar's."""

from __future__ import annotations

from executor.grammar.arrays import CALLED, Array, Scalar

TYPE_CHECKING = False  # importing typing would cost every guest memory
if TYPE_CHECKING:
    from typing import Any


def native(value: Array | Scalar) -> object:
    """The value that numpy has for it. Raises ImportError where there is no numpy."""
    numpy: Any = __import__("numpy")  # by name: the guest itself needs the standard library only
    if isinstance(value, Scalar):
        return getattr(numpy, CALLED[value.dtype])(value.item)
    if 0 in value.shape:
        return numpy.zeros(value.shape, dtype=value.dtype)
    return numpy.array(value.items, dtype=value.dtype)
