"""Admission: bounded queues in front of the executor.

There are two lanes, for verification and for scripts, since what they use differs. Each has a
number of places. Single calls wait in order of arrival, and a bounded number of them; lines of
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

LaneName = Literal["verify", "run"]

_MAX_RETRY_AFTER_S = 60


class Ticket:
    """A place, or the wait for one."""

    __slots__ = ("admitted", "arrived_at", "background")

    def __init__(self, background: bool) -> None:
        self.background = background
        self.arrived_at = time.monotonic()
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Lane:
    """Places of one kind of work, and who waits for them."""

    def __init__(self, name: LaneName, places: int, queue: int) -> None:
        self.name: LaneName = name
        self.places = places
        self.queue = queue
        self.running = 0
        self._background_running = 0
        self._background_places = max(1, places * 3 // 4)
        self._single: deque[Ticket] = deque()
        self._background: deque[Ticket] = deque()
        self._mean_s = 0.05

    @property
    def waiting(self) -> int:
        """Calls and lines without a place."""
        return len(self._single) + len(self._background)

    def oldest_wait_s(self) -> float:
        """Seconds that the oldest of them has waited; 0 if there is none."""
        heads = [queue[0].arrived_at for queue in (self._single, self._background) if queue]
        return time.monotonic() - min(heads) if heads else 0.0

    async def enter(self, *, background: bool) -> float:
        """Wait for a place; returns the seconds that took. Pair with :meth:`leave`.

        Raises:
            ApiError: 429, the queue is full.
        """
        if self._has_place(background):
            self._take(background)
            return 0.0
        if not background and len(self._single) >= self.queue:
            raise self._full()
        ticket = Ticket(background)
        waiting = self._background if background else self._single
        waiting.append(ticket)
        try:
            await ticket.admitted
        except asyncio.CancelledError:
            if ticket.admitted.done() and not ticket.admitted.cancelled():
                self._free(background)  # admitted in the same moment
            else:
                with suppress(ValueError):  # a place came free, and passed the ticket over
                    waiting.remove(ticket)
            raise
        return time.monotonic() - ticket.arrived_at

    def leave(self, *, background: bool, ran_s: float) -> None:
        """Give the place back; ``ran_s`` feeds the estimate of ``Retry-After``."""
        self._mean_s += 0.05 * (ran_s - self._mean_s)
        self._free(background)

    def _has_place(self, background: bool) -> bool:
        if self.running >= self.places or self._single:
            return False
        return not background or self._background_running < self._background_places

    def _take(self, background: bool) -> None:
        self.running += 1
        self._background_running += background

    def _free(self, background: bool) -> None:
        self.running -= 1
        self._background_running -= background
        while self._single and self.running < self.places:
            self._admit(self._single.popleft())
        while self._background and self._has_place(True):
            self._admit(self._background.popleft())

    def _admit(self, ticket: Ticket) -> None:
        if not ticket.admitted.done():
            self._take(ticket.background)
            ticket.admitted.set_result(None)

    def _full(self) -> ApiError:
        wait_s = self._mean_s * (len(self._single) + 1) / self.places
        return ApiError(
            429,
            "queue_full",
            f"{len(self._single)} calls are waiting already",
            retry_after_s=min(_MAX_RETRY_AFTER_S, max(1, round(wait_s))),
        )


class Admission:
    """The lanes of a service, its batches, and whether it takes work at all."""

    def __init__(self, *, verify_places: int, run_places: int, queue: int, batches: int) -> None:
        self.lanes: dict[LaneName, Lane] = {
            "verify": Lane("verify", verify_places, queue),
            "run": Lane("run", run_places, queue),
        }
        self.max_batches = batches
        self.batches = 0
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
    def batch(self) -> Iterator[None]:
        """A batch in hand. Raises :class:`ApiError` (429, 503)."""
        self.check_open()
        if self.batches >= self.max_batches:
            raise ApiError(
                429,
                "too_many_batches",
                f"{self.batches} batches are being worked on already",
                retry_after_s=5,
            )
        self.batches += 1
        try:
            yield
        finally:
            self.batches -= 1
