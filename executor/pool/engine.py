"""The engine that verification runs on: parsing and runs. The pool provides it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from executor.models import Limits, Signal, Status, Usage
from executor.wire.frames import Call, Order, Parsed, ParseItem, Source

NO_SIGNALS: frozenset[Signal] = frozenset()


class CallOutcome(NamedTuple):
    """The result of one call."""

    status: Status
    value: bytes | None = None
    """The encoded value if the status is ``ok``; hostile, not yet decoded."""
    detail: str = ""
    error_type: str = ""
    """Name of the exception's type if the status is ``error``."""
    error_text: str = ""
    """The text of that exception."""
    signals: frozenset[Signal] = NO_SIGNALS
    """Signs of cheating in this call."""

    @property
    def size(self) -> int:
        """Bytes of the encoded value."""
        return len(self.value) if self.value is not None else 0


class Used(NamedTuple):
    """Usage of runs in whole numbers; see :class:`executor.models.Usage`."""

    wall_us: int = 0
    cpu_us: int = 0
    peak_kib: int = 0

    def __add__(self, other: Used) -> Used:  # type: ignore[override]
        wall_us, cpu_us, peak_kib = self
        return Used(
            wall_us + other.wall_us,
            cpu_us + other.cpu_us,
            peak_kib if peak_kib >= other.peak_kib else other.peak_kib,
        )

    def usage(self) -> Usage:
        """The same for people, in milliseconds."""
        wall_us, cpu_us, peak_kib = self
        return Usage(wall_ms=wall_us / 1000, cpu_ms=cpu_us / 1000, peak_memory_kib=peak_kib)


NOTHING_USED = Used()
NO_SOURCES = Source(0)


class Run(NamedTuple):
    """One call in a fresh process."""

    outcome: CallOutcome
    used: Used = NOTHING_USED
    sources: Source = NO_SOURCES
    """Sources of nondeterminism that the run used."""


class Job(NamedTuple):
    """Calls of a program that are alike but for their data. Each is a run of its own."""

    code: bytes
    calls: Sequence[Call]
    imports: bool
    """Whether the program imports modules."""
    variant: int | None = None
    """0 or 1: hash seed and clock of the processes; ``None``: any."""
    order: Order = Order.NATURAL
    """Shows sets of randomly hashed elements in another order than a run of the same variant sees
    in natural order."""


class Engine(Protocol):
    """Parses text and runs compiled programs, each call in a fresh process."""

    async def parse(self, items: Sequence[ParseItem]) -> list[Parsed]:
        """Screen, compile and parse. An item that kills the parser comes back as ``crashed``; one
        that the platform could not parse as ``infra``."""

    async def run(self, jobs: Sequence[Job], limits: Limits) -> list[list[Run]]:
        """Make all calls of some jobs, at the same time as far as there is room: for each job the
        runs of its calls, in their order."""


def total(runs: Iterable[Run]) -> Used:
    """The sum of what some runs have used."""
    wall_us = cpu_us = peak_kib = 0
    for _, used, _ in runs:
        wall_us += used.wall_us
        cpu_us += used.cpu_us
        peak_kib = max(peak_kib, used.peak_kib)
    return Used(wall_us, cpu_us, peak_kib)
