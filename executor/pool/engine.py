"""What verification needs from below: parsing and runs. The pool provides it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from executor.models import Limits, Signal, Status, Usage
from executor.wire.frames import Call, Order, Parsed, ParseItem, Source

NO_SIGNALS: frozenset[Signal] = frozenset()


class CallOutcome(NamedTuple):
    """What one call of one run gave."""

    status: Status
    value: bytes | None = None
    """The encoded value if the status is ``ok``; hostile, not yet decoded."""
    detail: str = ""
    error_type: str = ""
    """Name of the exception's type if the status is ``error``."""
    error_text: str = ""
    """The text of that exception."""
    signals: frozenset[Signal] = NO_SIGNALS
    """What looked like cheating in this call."""

    @property
    def size(self) -> int:
        """Bytes of the encoded value."""
        return len(self.value) if self.value is not None else 0


class Run(NamedTuple):
    """One fresh process: an outcome for each call."""

    outcomes: tuple[CallOutcome, ...]
    usage: Usage
    sources: Source = Source(0)
    """Sources of nondeterminism that the run used."""
    whole: bool = True
    """False if the process as a whole ended early: then all outcomes are copies of one."""


class Engine(Protocol):
    """Parses text and runs compiled programs, each run in a fresh process."""

    async def parse(self, items: Sequence[ParseItem]) -> list[Parsed]:
        """Screen, compile and parse. An item that kills the parser comes back as ``crashed``; one
        that the platform could not parse as ``infra``."""

    async def run(
        self,
        code: bytes,
        calls: Sequence[Call],
        limits: Limits,
        *,
        variant: int | None,
        imports: bool,
        order: Order = Order.NATURAL,
    ) -> Run:
        """Run in a fresh process of the given variant (0 or 1: hash seed, clock; ``None``: any).

        ``imports`` says whether the program imports modules; ``order`` shows it sets of randomly
        hashed elements in another order than a run of the same variant sees in natural order.
        """
