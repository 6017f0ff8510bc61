"""One warm guest seen from the event loop: requests in, replies out, first in, first out.

Requests are pipelined: up to ``window`` are inside the guest's pipe at a time, so that it never
waits for the host. A request may only be repeated elsewhere because programs are pure and parsing
has no effects.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from executor.backends.base import Guest, Role
from executor.pool.priority import arrived_at
from executor.wire.frames import MAX_FRAME

_READ_SIZE = 1 << 18


class Answer(NamedTuple):
    """A guest's reply to a request."""

    payload: bytes
    memory_killed: Callable[[], bool]
    """Whether the kernel has killed a process of that guest for memory since it was last asked."""


class OutOfTime(Exception):
    """A guest ended because it took too long over a request; another one would do the same."""


class Request:
    """One frame for a guest, and the future of its answer."""

    __slots__ = (
        "arrived_at",
        "attempts",
        "deadline_s",
        "frame",
        "future",
        "once_if_slow_s",
        "starts_at",
        "unseen",
    )

    def __init__(
        self, frame: bytes, future: asyncio.Future[Answer | None], deadline_s: float
    ) -> None:
        self.frame = frame
        self.future = future
        """Gets the answer, or ``None`` when the platform gave up."""
        self.deadline_s = deadline_s
        """Seconds after which a guest that is silent about this request is taken for dead."""
        self.attempts = 0
        """How many guests have died or fallen silent while working on it."""
        self.unseen = 0
        """How many guests had died before they could see anything of it."""
        self.starts_at = 0
        """How many bytes its guest was to get before it."""
        self.once_if_slow_s: float | None = None
        """If a guest ends that worked on it for so long, its future gets :class:`OutOfTime`."""
        self.arrived_at = arrived_at()
        """When the item that it belongs to arrived: older items go first."""

    @property
    def done(self) -> bool:
        """Answered elsewhere, or the caller has gone away."""
        return self.future.done()


def _done_future(loop: asyncio.AbstractEventLoop) -> asyncio.Future[Answer | None]:
    future: asyncio.Future[Answer | None] = loop.create_future()
    future.set_result(None)
    return future


class Worker:
    """A warm guest at work. Made by the pool; its end is reported through ``on_end``."""

    def __init__(
        self,
        guest: Guest,
        role: Role,
        *,
        on_space: Callable[[Worker], None],
        on_end: Callable[[Worker], None],
    ) -> None:
        self.guest = guest
        self.role = role
        self.served = 0
        self.ended = False
        self.retiring = False
        """No new requests; the guest is closed when the ones inside are answered."""
        self.in_flight: deque[Request] = deque()
        self.head_since = 0.0
        """When the oldest request in flight became the oldest."""
        self._memory_kills = 0
        self._on_space = on_space
        self._on_end = on_end
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._sent = 0
        """Bytes that are in the guest's pipe, or have been."""
        self._flush_scheduled = False
        self._writing = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(guest.read_fd, self._read)

    def send(self, request: Request) -> None:
        """Put a request into the guest's pipe."""
        if not self.in_flight:
            self.head_since = time.monotonic()
        self.in_flight.append(request)
        request.starts_at = self._sent + len(self._outgoing)
        self._outgoing += request.frame
        if not self._flush_scheduled and not self._writing:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self.ended or not self._outgoing:
            return
        try:
            written = os.write(self.guest.write_fd, self._outgoing)
        except BlockingIOError:
            written = 0
        except OSError:
            self.end()
            return
        self._sent += written
        del self._outgoing[:written]
        self._want_write(bool(self._outgoing))

    def _want_write(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self.guest.write_fd, self._flush)
        elif not wanted and self._writing:
            self._loop.remove_writer(self.guest.write_fd)
        self._writing = wanted

    def _read(self) -> None:
        try:
            chunk = os.read(self.guest.read_fd, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.end()
            return
        self._incoming += chunk
        self._take_frames()
        if not self.ended:
            self._on_space(self)

    def _take_frames(self) -> None:
        data = self._incoming
        at = 0
        while len(data) - at >= 4:
            size = int.from_bytes(data[at : at + 4], "little")
            if size > MAX_FRAME or not self.in_flight:
                self.end()
                return
            if len(data) - at - 4 < size:
                break
            payload = bytes(data[at + 4 : at + 4 + size])
            at += 4 + size
            self._answer(payload)
        del data[:at]

    def _answer(self, payload: bytes) -> None:
        request = self.in_flight.popleft()
        self.served += 1
        self.head_since = time.monotonic()
        if not request.future.done():
            request.future.set_result(Answer(payload, self._memory_killed))

    def _memory_killed(self) -> bool:
        before, self._memory_kills = self._memory_kills, self.guest.memory_kills()
        return self._memory_kills > before

    def give_up_followers(self) -> list[Request]:
        """Take back all requests but the oldest; the guest's answers to them will be ignored."""
        followers = [request for request in list(self.in_flight)[1:] if not request.done]
        head = self.in_flight[0]
        ignored = [Request(b"", _done_future(self._loop), 0.0)] * (len(self.in_flight) - 1)
        self.in_flight = deque([head, *ignored])
        return followers

    def blame(self) -> None:
        """Count the end of the guest against the oldest request in flight, if there is one."""
        if not self.in_flight:
            return
        head = self.in_flight[0]
        if self._sent > head.starts_at:
            head.attempts += 1
            slow_s = head.once_if_slow_s
            if slow_s is not None and not head.done and self.head_age(time.monotonic()) >= slow_s:
                head.future.set_exception(OutOfTime())
        else:  # Others killed the guest: with it, perhaps, all the guests that it was moved to.
            head.unseen += 1

    def head_age(self, now: float) -> float:
        """Seconds that the guest has been silent about its oldest request; 0 if it has none."""
        return now - self.head_since if self.in_flight else 0.0

    def state(self, now: float, slow_s: float) -> str:
        """``idle``, ``busy``, ``slow`` (its run takes longer than ``slow_s``) or ``retiring``."""
        if self.retiring:
            return "retiring"
        if not self.in_flight:
            return "idle"
        return "slow" if self.head_age(now) > slow_s else "busy"

    def end(self) -> None:
        """Kill the guest and report the end; requests in flight stay for the pool to move."""
        if self.ended:
            return
        self._detach()
        self.guest.kill()
        self._on_end(self)

    def _detach(self) -> None:
        self.ended = True
        self._loop.remove_reader(self.guest.read_fd)
        self._want_write(wanted=False)

    async def close(self) -> None:
        """End, and wait until nothing of the guest is left."""
        if not self.ended:
            self._detach()
        await self.guest.close()
