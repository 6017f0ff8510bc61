"""Values as verification sees them: encoded bytes from a sandbox, decoded once, compared here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from executor.grammar.compare import equal, first_difference
from executor.grammar.decode import DecodeError, Unsuitable, decode
from executor.grammar.text import literal_text
from executor.models import Signal, Status
from executor.pool.engine import CallOutcome

_KEPT_BYTES = 64
"""Values that are encoded as so few bytes are kept decoded: at most fifty times as much."""


class Value:
    """A value of the closed grammar. Equal bytes are equal values; the reverse need not hold.

    What is kept is the bytes: decoded, some values take fifty times as much memory.
    """

    __slots__ = ("_decoded", "data")

    def __init__(self, data: bytes, *, keep: bool = False) -> None:
        """Raises :class:`executor.grammar.decode.DecodeError` if the bytes are not a value.

        ``keep``: a large one is kept decoded too, until it is released.
        """
        self.data = data
        value = decode(data)
        self._decoded = (value,) if keep or len(data) <= _KEPT_BYTES else None

    def release(self) -> None:
        """Forget what was kept decoded, if it is large."""
        if len(self.data) > _KEPT_BYTES:
            self._decoded = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep it decoded meanwhile, for several uses."""
        before, self._decoded = self._decoded, self._decoded or (decode(self.data),)
        try:
            yield
        finally:
            self._decoded = before

    @property
    def decoded(self) -> object:
        """The value itself, read again each time unless it is small."""
        return self._decoded[0] if self._decoded is not None else decode(self.data)

    @property
    def memory(self) -> int:
        """Bytes of memory that it takes, about."""
        size = len(self.data)
        return 200 + (50 * size if self._decoded is not None else size)

    @property
    def text(self) -> str:
        """Canonical literal text."""
        return literal_text(self.decoded)

    def equals(self, other: Value, *, strict: bool = False) -> bool:
        """Python's ``==``, with NaN equal to NaN; ``strict``: of equal types too.

        Raises :class:`executor.grammar.compare.TooCostly`.
        """
        return self.data == other.data or equal(self.decoded, other.decoded, strict=strict)

    def difference(self, other: Value, *, strict: bool = False) -> str:
        """The place where two values first differ, for people."""
        return first_difference(self.decoded, other.decoded, strict)


FORGED = CallOutcome(
    Status.UNSERIALIZABLE,
    detail="sent what is not a well-formed value",
    signals=frozenset({Signal.FORGED_FRAME}),
)


def value_of(outcome: CallOutcome, *, keep: bool = False) -> Value | CallOutcome:
    """The value of a successful call, or the outcome of one that has none."""
    return outcome if outcome.value is None else decoded(outcome.value, keep=keep)


def decoded(data: bytes, *, keep: bool = False) -> Value | CallOutcome:
    """The value that some bytes encode, or why they are none; see :class:`Value`."""
    try:
        return Value(data, keep=keep)
    except Unsuitable as problem:
        detail = f"returned no plain value: {problem}"
        return CallOutcome(Status.UNSERIALIZABLE, detail=detail)
    except DecodeError:
        return FORGED
