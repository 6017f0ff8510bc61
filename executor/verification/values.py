"""Values as verification sees them: encoded bytes from a sandbox, decoded once, compared here."""

from __future__ import annotations

from executor.grammar.compare import equal, first_difference
from executor.grammar.decode import DecodeError, Unsuitable, decode
from executor.grammar.text import literal_text
from executor.models import Signal, Status
from executor.verification.engine import CallOutcome

_KEPT_BYTES = 64
"""Values that are encoded as so few bytes are kept decoded: at most fifty times as much."""


class Value:
    """A value of the closed grammar. Equal bytes are equal values; the reverse need not hold.

    What is kept is the bytes: decoded, some values take fifty times as much memory.
    """

    __slots__ = ("_decoded", "data")

    def __init__(self, data: bytes) -> None:
        """Raises :class:`executor.grammar.decode.DecodeError` if the bytes are not a value."""
        self.data = data
        value = decode(data)
        self._decoded = (value,) if len(data) <= _KEPT_BYTES else None

    @property
    def decoded(self) -> object:
        """The value itself, read again each time unless it is small."""
        return self._decoded[0] if self._decoded is not None else decode(self.data)

    @property
    def text(self) -> str:
        """Canonical literal text."""
        return literal_text(self.decoded)

    def equals(self, other: Value, *, strict: bool = False) -> bool:
        """Python's ``==``, with NaN equal to NaN; ``strict``: of equal types too.

        Raises :class:`executor.grammar.compare.TooCostly`.
        """
        return self.data == other.data or equal(self.decoded, other.decoded, strict=strict)

    def difference(self, other: Value) -> str:
        """Where two values first differ, for people."""
        return first_difference(self.decoded, other.decoded)


FORGED = CallOutcome(
    Status.UNSERIALIZABLE,
    detail="sent what is not a well-formed value",
    signals=frozenset({Signal.FORGED_FRAME}),
)


def value_of(outcome: CallOutcome) -> Value | CallOutcome:
    """The value of a successful call, or the outcome of one that has none."""
    return outcome if outcome.value is None else decoded(outcome.value)


def decoded(data: bytes) -> Value | CallOutcome:
    """The value that some bytes encode, or :data:`FORGED`."""
    try:
        return Value(data)
    except Unsuitable as problem:
        detail = f"returned no plain value: {problem}"
        return CallOutcome(Status.UNSERIALIZABLE, detail=detail)
    except DecodeError:
        return FORGED
