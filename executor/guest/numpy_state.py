"""What numpy does that is not Python's: buffers of BLAS, random numbers, memory nobody has filled.

For guests that have imported it before any program is there.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False  # importing typing would cost every guest memory
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FILLINGS = (0x00, 0x7F)
"""Bytes by variant. Every number made of one differs from the one made of the other in its size,
its sign of being zero, its parity and its truth."""


def settle(core: Any) -> None:
    """Let numpy do once what it does when it first computes, and fill what it allocates."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    matrix = numpy.eye(128) + numpy.ones((128, 128))
    for kind in ("float32", "float64", "complex64", "complex128"):
        numbers = matrix.astype(kind)
        numpy.linalg.solve(numbers, numbers @ numbers)
    numpy.linalg.eigh(matrix)
    numpy.fft.fft(matrix)
    table = getattr(sys.modules.get("numpy._core._multiarray_umath"), "_ARRAY_API", None)
    if table is not None and hasattr(core, "fill_arrays"):
        core.fill_arrays(table, _FILLINGS[hash("colour of the guest") & 1])


def dice() -> Dice | None:
    """numpy's own generator of random numbers, where there is one."""
    own = _generator()
    return Dice(own) if own is not None else None


def _generator() -> Any:
    module = sys.modules.get("numpy.random.mtrand")
    return getattr(module, "_rand", None)


def reseeding(others: Callable[[], object]) -> Callable[[], object]:
    """What seeds numpy's generator as well as others."""
    own = _generator()
    if own is None:
        return others

    def reseed() -> None:
        others()
        own.seed()

    return reseed


class Dice:
    """Tells whether a run took random numbers of numpy's own generator, which has another seed in
    each run."""

    def __init__(self, own: Any) -> None:
        self._seed = own.seed
        self._state = own.get_state
        self._entropy = posix.urandom
        self.shake()
        self._unused = self._position()

    def shake(self) -> None:
        """Begin a run."""
        self._seed(int.from_bytes(self._entropy(4), "little"))

    def thrown(self) -> bool:
        """Whether it was used; what cannot be told was not."""
        try:
            return self._position() != self._unused
        except Exception:
            return False

    def _position(self) -> object:
        return self._state(legacy=False)["state"]["pos"]
