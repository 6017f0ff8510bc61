"""Admission: bounded queues in front of the executor.

There are two lanes, for verification and for scripts, since what they use differs. Each has a
number of places. Tenants that want more than there is get places by their weights, and none gets
all. Of a tenant, single calls wait in order of arrival, and a bounded number of them; lines of
batches wait behind them and never take the last quarter of the places, so that a large batch does
not hold up a single call.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from executor.service.errors import ApiError, unavailable
from executor.service.work.interruption import Interruption
from executor.service.work.tenants import ANYONE, Shared, Tenant

LaneName = Literal["verify", "run"]

_MAX_RETRY_AFTER_S = 60


class Ticket:
    """A place, or the wait for one."""

    __slots__ = ("admitted", "arrived_at", "background")

    def __init__(self, background: bool) -> None:
        self.background = background
        self.arrived_at = time.monotonic()
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _Line:
    """What one tenant has in a lane."""

    __slots__ = ("background", "places", "queue", "running", "single", "weight")

    def __init__(self, tenant: Tenant, places: int, queue: int) -> None:
        self.places = tenant.part(places)
        self.queue = tenant.queue or queue
        self.weight = tenant.weight
        self.running = 0
        self.single: deque[Ticket] = deque()
        self.background: deque[Ticket] = deque()

    def waiting(self, background: bool) -> deque[Ticket]:
        """Its lines of batches that wait, or its single calls."""
        return self.background if background else self.single

    @property
    def share(self) -> float:
        """What it has, in the measure of its weight."""
        return self.running / self.weight


class Lane:
    """Places of one kind of work, and who waits for them.

    A place that comes free goes to the tenant that has the fewest for its weight.
    """

    def __init__(self, name: LaneName, places: int, queue: int) -> None:
        self.name: LaneName = name
        self.places = places
        self.queue = queue
        self.running = 0
        self._background_running = 0
        self._background_places = max(1, places * 3 // 4)
        self._lines: dict[str, _Line] = {}
        self._mean_s = 0.05

    @property
    def waiting(self) -> int:
        """Calls and lines of batches without a place."""
        return sum(len(line.single) + len(line.background) for line in self._lines.values())

    def oldest_wait_s(self) -> float:
        """Seconds that the oldest of them has waited; 0 if there is none."""
        queues = [
            queue for line in self._lines.values() for queue in (line.single, line.background)
        ]
        heads = [queue[0].arrived_at for queue in queues if queue]
        return time.monotonic() - min(heads) if heads else 0.0

    def of(self, tenant: Tenant) -> tuple[int, int]:
        """Items of a tenant that have a place, and that wait for one."""
        line = self._line(tenant)
        return line.running, len(line.single) + len(line.background)

    async def enter(self, *, background: bool, tenant: Tenant = ANYONE) -> float:
        """Wait for a place; returns the seconds that took. Pair with :meth:`leave`.

        Raises:
            ApiError: 429, the queue is full.
        """
        line = self._line(tenant)
        if not line.waiting(background) and self._has_place(line, background):
            self._take(line, background)
            return 0.0
        if not background and len(line.single) >= line.queue:
            raise self._full(line)
        ticket = Ticket(background)
        waiting = line.waiting(background)
        waiting.append(ticket)
        try:
            await ticket.admitted
        except asyncio.CancelledError:
            if ticket.admitted.done() and not ticket.admitted.cancelled():
                self._free(line, background)  # admitted in the same moment
            else:
                with suppress(ValueError):  # a place came free, and passed the ticket over
                    waiting.remove(ticket)
            raise
        return time.monotonic() - ticket.arrived_at

    def leave(self, *, background: bool, ran_s: float, tenant: Tenant = ANYONE) -> None:
        """Give the place back; ``ran_s`` feeds the estimate of ``Retry-After``."""
        self._mean_s += 0.05 * (ran_s - self._mean_s)
        self._free(self._line(tenant), background)

    def yields_s(self, tenant: Tenant) -> float:
        """How much later than its arrival an item of a tenant, which has a place, counts as
        arrived: the more the tenant has in hand for its weight, the later."""
        if len(self._lines) < 2:
            return 0.0
        return (self._line(tenant).share - 1 / tenant.weight) * self._mean_s

    def _line(self, tenant: Tenant) -> _Line:
        line = self._lines.get(tenant.name)
        if line is None:
            line = self._lines[tenant.name] = _Line(tenant, self.places, self.queue)
        return line

    def _has_place(self, line: _Line, background: bool) -> bool:
        if self.running >= self.places or line.running >= line.places:
            return False
        if not background:
            return True
        return not line.single and self._background_running < self._background_places

    def _take(self, line: _Line, background: bool) -> None:
        self.running += 1
        line.running += 1
        self._background_running += background

    def _free(self, line: _Line, background: bool) -> None:
        self.running -= 1
        line.running -= 1
        self._background_running -= background
        for kind in (False, True):
            while (next_one := self._next(kind)) is not None:
                self._admit(next_one, next_one.waiting(kind).popleft())

    def _next(self, background: bool) -> _Line | None:
        """Who gets the next place."""
        able = [
            line
            for line in self._lines.values()
            if line.waiting(background) and self._has_place(line, background)
        ]
        return min(
            able,
            key=lambda line: (line.share, line.waiting(background)[0].arrived_at),
            default=None,
        )

    def _admit(self, line: _Line, ticket: Ticket) -> None:
        if not ticket.admitted.done():
            self._take(line, ticket.background)
            ticket.admitted.set_result(None)

    def _full(self, line: _Line) -> ApiError:
        wait_s = self._mean_s * (len(line.single) + 1) / line.places
        return ApiError(
            429,
            "queue_full",
            f"{len(line.single)} calls are waiting already",
            retry_after_s=min(_MAX_RETRY_AFTER_S, max(1, round(wait_s))),
        )


class Admission:
    """The lanes of a service, its batches, and whether it takes work at all."""

    def __init__(
        self,
        *,
        verify_places: int,
        run_places: int,
        queue: int,
        batches: int,
        tenants: tuple[Tenant, ...] = (),
    ) -> None:
        self.lanes: dict[LaneName, Lane] = {
            "verify": Lane("verify", verify_places, queue),
            "run": Lane("run", run_places, queue),
        }
        self.max_batches = batches
        self._batches = Shared(batches, tenants)
        self.draining = asyncio.Event()
        """Set once the service is to stop."""
        self.in_flight: set[Interruption] = set()
        """All requests that are being worked on or wait for a place."""
        self.closed: ApiError | None = unavailable("the service is starting", "starting", 1)
        """The reason why no work is taken now, if so."""

    def check_open(self) -> None:
        """Refuse work that would begin now. Raises :class:`ApiError` (503)."""
        if self.closed is not None:
            raise self.closed

    async def idle(self) -> None:
        """Return once nothing is in hand."""
        while self.in_flight:  # noqa: ASYNC110 - only at the end; nobody is told when one leaves
            await asyncio.sleep(0.02)

    @contextmanager
    def request(self) -> Iterator[Interruption]:
        """Work in hand that can be ended from outside: by its client's leaving, or by a stop.

        Raises:
            ApiError: 503, no work is taken.
        """
        self.check_open()
        interruption = Interruption()
        self.in_flight.add(interruption)
        try:
            with interruption:
                yield interruption
        finally:
            self.in_flight.discard(interruption)

    def end_all(self, reason: Exception) -> None:
        """End everything in hand; each gets the reason as an exception."""
        for interruption in list(self.in_flight):
            interruption.end(reason)

    @contextmanager
    def batch(self, tenant: Tenant = ANYONE) -> Iterator[None]:
        """A batch in hand. Raises :class:`ApiError` (429, 503)."""
        self.check_open()
        if not self._batches.take(tenant):
            raise ApiError(
                429,
                "too_many_batches",
                f"{self._batches.of(tenant)} batches are being worked on already",
                retry_after_s=5,
            )
        try:
            yield
        finally:
            self._batches.give(tenant)

    @property
    def batches(self) -> int:
        """Batches in hand."""
        return self._batches.taken
