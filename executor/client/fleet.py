"""The endpoints of a service: who gets the next request, and what happens when one fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from executor.client.endpoint import PLACES, Endpoint, Lane, pause_s
from executor.client.faults import Fault
from executor.client.settings import Retries, Timeouts
from executor.errors import ConfigurationError, ExecutorClosed, ServiceUnavailable
from executor.tasks import end_all

_FIRST_ROUND_S = 1.0
"""Seconds that the first endpoint that is ready waits for the others, so that work is spread."""


def check_urls(urls: str | Sequence[str]) -> tuple[str, ...]:
    """The base addresses, each once. Raises :class:`ConfigurationError`: not usable ones."""
    given = [urls] if isinstance(urls, str) else list(urls)
    checked = []
    for url in given:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        except ValueError:
            usable = None
        if not usable or parts.query or parts.fragment:
            raise ConfigurationError(
                f"{url!r} is not the address of a service: http(s)://HOST[:PORT]"
            )
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError("the address of a service must not hold a password: use token")
        checked.append(url.rstrip("/"))
    if not checked:
        raise ConfigurationError("a remote executor needs the address of at least one service")
    return tuple(dict.fromkeys(checked))


class Patience:
    """The time that one call has left: it ends some time after the last progress."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._failures = 0
        self.deadline = 0.0
        """Monotonic seconds."""
        self.progress()

    def progress(self) -> None:
        """Something was achieved: begin anew."""
        self._failures = 0
        self.deadline = time.monotonic() + self._retries.give_up_s

    def pause(self, fault: Fault) -> float:
        """Seconds to wait after a fault. Raises :class:`ServiceUnavailable`: it has been enough."""
        self._failures += 1
        seconds = pause_s(self._retries, self._failures)
        if time.monotonic() + seconds >= self.deadline:
            raise ServiceUnavailable(str(fault))
        return seconds


class Fleet:
    """Endpoints that do the same work. Open and close it; all on one event loop."""

    def __init__(
        self, urls: Sequence[str], token: str | None, timeouts: Timeouts, retries: Retries
    ) -> None:
        self.retries = 0
        """Requests that were repeated."""
        self.closed = False
        self._timeouts = timeouts
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in PLACES}
        self._ended = asyncio.Event()
        self.endpoints = tuple(
            Endpoint(url, token, timeouts, retries, self._wake_all) for url in urls
        )
        self._watchers: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Find out who is ready.

        Raises:
            ConfigurationError: no endpoint will serve this client.
            ServiceUnavailable: none is ready in time.
        """
        self._watchers = [asyncio.create_task(e.watch()) for e in self.endpoints]
        asked = [asyncio.create_task(e.asked.wait()) for e in self.endpoints]
        try:
            await asyncio.wait(asked, timeout=self._timeouts.start_s, return_when="FIRST_COMPLETED")
            await asyncio.wait(asked, timeout=_FIRST_ROUND_S)
            deadline = time.monotonic() + self._timeouts.start_s
            self._give(await self._take("single", 0, deadline, None), "single", 0)
        finally:
            for task in asked:
                task.cancel()

    async def close(self) -> None:
        """End everything. Calls in hand get :class:`ExecutorClosed`."""
        self.closed = True
        self._ended.set()
        await end_all(self._watchers)
        self._wake_all()
        for endpoint in self.endpoints:
            endpoint.cut()
        await asyncio.sleep(0)
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints))

    @asynccontextmanager
    async def endpoint(
        self, lane: Lane, cost: int, deadline: float, avoid: Endpoint | None
    ) -> AsyncIterator[Endpoint]:
        """The endpoint that is least busy, for one request with ``cost`` items.

        ``avoid`` is taken only if there is no other. The block ends with a :class:`Fault` if the
        endpoint falls silent.

        Raises:
            ServiceUnavailable: none can be had until the deadline.
            ConfigurationError: none will serve this client.
            ExecutorClosed: the client was closed.
        """
        endpoint = await self._take(lane, cost, deadline, avoid)
        try:
            async with endpoint.held():
                yield endpoint
            endpoint.succeeded(lane)
        except Fault as fault:
            self._check_open()
            endpoint.refused(lane, fault)
            self.retries += 1
            raise
        finally:
            self._give(endpoint, lane, cost)

    async def pause(self, seconds: float) -> None:
        """Sleep. Raises :class:`ExecutorClosed` as soon as the client is closed."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return
        self._check_open()

    async def _take(
        self, lane: Lane, cost: int, deadline: float, avoid: Endpoint | None
    ) -> Endpoint:
        while True:
            self._check_open()
            now = time.monotonic()
            usable = [e for e in self.endpoints if e.usable(lane, now)]
            if usable:
                best = min(
                    usable, key=lambda e: (e is avoid, (e.load + cost) / e.weight, random.random())
                )
                best.take(lane, cost)
                return best
            self._check_hope(deadline, now)
            await self._wait(lane, deadline - now)

    def _check_hope(self, deadline: float, now: float) -> None:
        refusals = [e.refusal for e in self.endpoints if e.refusal is not None]
        if len(refusals) == len(self.endpoints):
            raise ConfigurationError(str(refusals[0]))
        if now >= deadline:
            reasons = [e.reason for e in self.endpoints if not e.ready]
            raise ServiceUnavailable("; ".join(reasons) or "the service is busy")

    async def _wait(self, lane: Lane, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting[lane]
        queue.append(woken)
        try:
            async with asyncio.timeout(seconds):
                await woken
        except TimeoutError:
            return
        except BaseException:
            if woken.done() and not woken.cancelled():
                self._wake_one(lane)  # it was meant for a call that has just gone away
            raise
        finally:
            if woken in queue:
                queue.remove(woken)

    def _give(self, endpoint: Endpoint, lane: Lane, cost: int) -> None:
        endpoint.give(lane, cost)
        self._wake_one(lane)

    def _wake_one(self, lane: Lane) -> None:
        queue = self._waiting[lane]
        while queue:
            woken = queue.popleft()
            if not woken.done():
                woken.set_result(None)
                return

    def _wake_all(self) -> None:
        for queue in self._waiting.values():
            for woken in queue:
                if not woken.done():
                    woken.set_result(None)
            queue.clear()

    def _check_open(self) -> None:
        if self.closed:
            raise ExecutorClosed("the executor was closed")
