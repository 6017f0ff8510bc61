"""One warm guest seen from the event loop: requests in, replies out, first in, first out.

A request is one or several frames; each frame gets a reply. They are pipelined: some are inside the
guest's pipe at a time, so that it never waits for the host. A frame may only be repeated elsewhere
because programs are pure and parsing has no effects.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from executor.backends.base import PROGRAM_KINDS, Guest, Role
from executor.pool.priority import arrived_at
from executor.wire.frames import MAX_FRAME, taken_s, was_killed

_READ_SIZE = 1 << 18
_NEW_SHARE = 0.2
_LONGEST_S = 0.1
"""A run counts for no more than this in the mean: one that ends by its limits says little of the
next ones."""


class RawReply(NamedTuple):
    """A guest's reply to a request."""

    payload: bytes
    memory_killed: bool = False
    """Of a run that was killed: whether the kernel has killed a process of that guest for memory
    since the one before."""


class OutOfTime(Exception):
    """A guest ended because it took too long over a request; another one would do the same."""


class Replies:
    """Collects the answers to some requests, for one caller."""

    __slots__ = ("_missing", "found", "future")

    def __init__(self, count: int, future: asyncio.Future[list[RawReply | None]]) -> None:
        self.found: list[RawReply | None] = [None] * count
        """``None`` where the pool gave up, or where there is none yet."""
        self.future = future
        """Gets them, once they are complete."""
        self._missing = count

    def put(self, index: int, answer: RawReply | None) -> None:
        """Take in one answer."""
        self.found[index] = answer
        self._missing -= 1
        if not self._missing and not self.future.done():
            self.future.set_result(self.found)


class GuestRequest:
    """Frames for a guest, each of which gets a reply of its own, in their order."""

    __slots__ = (
        "arrived_at",
        "attempts",
        "deadline_s",
        "first",
        "frames",
        "once_if_slow_s",
        "replies",
        "starts_at",
        "unseen",
    )

    def __init__(
        self,
        frames: deque[bytes],
        replies: Replies,
        deadline_s: float,
        first: int = 0,
        once_if_slow_s: float | None = None,
    ) -> None:
        self.frames = frames
        """Those that are not answered yet."""
        self.replies = replies
        self.first = first
        """The place of the first frame's answer among the replies."""
        self.deadline_s = deadline_s
        """Seconds after which a guest that is silent about a frame is taken for dead."""
        self.attempts = 0
        """Guests that have died or fallen silent while working on the first frame."""
        self.unseen = 0
        """Guests that died before they could see anything of it."""
        self.starts_at = 0
        """Bytes that its guest was to get before the first frame."""
        self.once_if_slow_s = once_if_slow_s
        """If a guest ends that worked on it for so long, its future gets :class:`OutOfTime`."""
        self.arrived_at = arrived_at()
        """Time at which the item that it belongs to arrived: older items go first."""

    @property
    def done(self) -> bool:
        """Answered elsewhere, or the caller has gone away."""
        return self.replies.future.done()

    def answer(self, answer: RawReply | None) -> None:
        """Take in the answer to the first frame that has none."""
        self.starts_at += len(self.frames.popleft())
        self.first += 1
        self.replies.put(self.first - 1, answer)

    def give_up(self) -> None:
        """There will be no answers to the frames that are left."""
        while self.frames:
            self.answer(None)

    def without_rest(self) -> GuestRequest | None:
        """Keep the first frame only; a request for the others, if there are any."""
        if len(self.frames) == 1:
            return None
        frames = self.frames
        self.frames = deque((frames.popleft(),))
        rest = GuestRequest(
            frames, self.replies, self.deadline_s, self.first + 1, self.once_if_slow_s
        )
        rest.arrived_at = self.arrived_at
        return rest


def _ignored(count: int, loop: asyncio.AbstractEventLoop) -> GuestRequest:
    """Stands for so many frames whose answers nobody wants."""
    replies = Replies(count, loop.create_future())
    replies.future.cancel()
    return GuestRequest(deque([b""] * count), replies, 0.0)


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
        self.in_flight: deque[GuestRequest] = deque()
        """In the guest's pipe: those that are not answered whole."""
        self.load = 0
        """Frames of these that are not answered."""
        self.head_since = 0.0
        """Time at which the oldest frame in flight became the oldest."""
        self.usual_s = 0.0
        """Seconds that a run takes now, by the guest's own clock; 0 for guests that make none."""
        self._makes_runs = role.kind in PROGRAM_KINDS
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

    def send(self, request: GuestRequest) -> None:
        """Put a request into the guest's pipe."""
        if not self.in_flight:
            self.head_since = time.monotonic()
        self.in_flight.append(request)
        self.load += len(request.frames)
        request.starts_at = self._sent + len(self._outgoing)
        for frame in request.frames:
            self._outgoing += frame
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
        at, end = 0, len(data)
        while end - at >= 4:
            size = int.from_bytes(data[at : at + 4], "little")
            if size > MAX_FRAME or not self.in_flight:
                self.end()
                return
            at += 4
            if end - at < size:
                at -= 4
                break
            payload = bytes(data[at : at + size])
            at += size
            self._answer(payload)
        if at:
            del data[:at]
            self.head_since = time.monotonic()

    def _answer(self, payload: bytes) -> None:
        request = self.in_flight[0]
        # Now: later the guest may be gone, and others of its runs may have been killed.
        killed = was_killed(payload) and self._memory_killed()
        request.answer(RawReply(payload, killed))
        if self._makes_runs:
            self.usual_s += _NEW_SHARE * (min(_LONGEST_S, taken_s(payload)) - self.usual_s)
        if not request.frames:
            self.in_flight.popleft()
        self.served += 1
        self.load -= 1

    def _memory_killed(self) -> bool:
        before, self._memory_kills = self._memory_kills, self.guest.memory_kills()
        return self._memory_kills > before

    @property
    def clogged(self) -> bool:
        """Whether frames are in its pipe whose answers nobody wants: what is sent comes after them,
        and would be taken back over them, if they are slow, again and again."""
        return any(request.done for request in self.in_flight)

    def give_up_followers(self) -> list[GuestRequest]:
        """Take back all but the oldest frame; the guest's answers to them will be ignored."""
        head, *others = self.in_flight
        rest = head.without_rest()
        if self.load > 1:
            self.in_flight = deque((head, _ignored(self.load - 1, self._loop)))
        return [r for r in ([rest, *others] if rest else others) if not r.done]

    def blame(self) -> GuestRequest | None:
        """Count the end of the guest against the oldest frame in flight, if there is one.

        Returns a request for the frames behind it, which nobody blames."""
        if not self.in_flight:
            return None
        head = self.in_flight[0]
        if self._sent <= head.starts_at:
            # Others killed the guest: with it, perhaps, all the guests that it was moved to.
            head.unseen += 1
            return None
        rest = head.without_rest()
        head.attempts += 1
        slow_s = head.once_if_slow_s
        if slow_s is not None and not head.done and self.head_age(time.monotonic()) >= slow_s:
            head.replies.future.set_exception(OutOfTime())
        return rest

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
