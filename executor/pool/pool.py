"""The pool of warm guests: who gets which request, and what happens when a guest dies or stalls.

``size`` places each hold one ``bare`` and one ``lib`` guest; there is one parser for every four
places, and at least two. Guests of even and odd places differ in *variant*: hash seed, clock,
environment, address space. A request may ask for a variant, which is how a program gets its two
independent runs.

* A request is one or several frames for one guest, such as the calls of one program.
* A guest that dies, breaks the protocol or falls silent is replaced. The frame it was working on
  counts one attempt and is repeated on another guest; after ``MAX_ATTEMPTS`` its caller is told
  ``None`` (an ``infra`` outcome). Frames queued behind it are moved without blame, and so is one
  that the guest cannot have seen: when all guests are killed at once, it meets several dead ones.
* A frame that runs longer than the backend's ``Pace.slow_s`` loses its followers if another guest
  has room for them, so that one endless loop does not hold up its neighbours. Their copies stay in
  the first one's pipe, which takes nothing new until they are through. Where all guests that may
  take a request have been held up for long, another is started, and the one it relieves retires
  after its run. Guests of the other kind never help: a program can tell which modules its
  guest has loaded, and must find the same ones always.
* A caller that goes away (cancellation) frees its guest: a queued request is skipped, a running one
  is ended with its guest.
* A guest retires after ``RETIRE_AFTER`` frames.
* Guests for scripts, one for each place, are started when the first script comes. They stay on no
  core: a script sees as many as it would see elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from bisect import insort
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

from executor.backends.base import PROGRAM_KINDS, Backend, GuestKind, Role
from executor.errors import BackendUnavailable, ExecutorClosed
from executor.pool.worker import GuestRequest, RawReply, Replies, Worker
from executor.tasks import end_all

MAX_ATTEMPTS = 4
_MAX_UNSEEN = 16
"""Guests that may die before they see a request: if more do, none can live."""
FORSAKEN_S = 0.25
RETIRE_AFTER = 50_000
WINDOW = 16
"""Frames inside a guest's pipe, from which on it gets no more requests."""
SCRIPT_WINDOW = 1
"""Of a guest for scripts: they are longer, and none should wait behind another."""

_TICK_S = 0.02
_LATE_S = 0.2
_RELIEF_S, _RELIEF_STARTS = 1.0, 3.0
"""How long guests are held up before another helps: at least so many seconds, and so many times
what the last guest took to start. Where the machine is busy, more guests would make it busier."""
_RESTART_DELAYS_S = (0.0, 0.05, 0.2, 1.0, 2.0, 5.0)
_PLACES_PER_PARSER = 4

Variant = int


class PoolStats(NamedTuple):
    """A pool at one moment, for monitoring."""

    waiting: int
    """Requests that no guest has taken yet."""
    oldest_wait_s: float
    """Seconds that the oldest of these has been in the executor; 0 if there is none."""
    in_flight: int
    """Frames inside guests' pipes."""
    workers: dict[tuple[str, str], int]
    """Guests by kind and state: ``idle``, ``busy``, ``slow`` (one run takes long), ``retiring``;
    ``starting`` has the kind ``any``."""
    restarts: int
    """Guests that were replaced because they died, stalled or broke the protocol."""
    script_jails: Mapping[str, int]
    """Jails that the backend keeps for one script after another, by state: ``idle``, ``busy``,
    ``starting``. Empty if it keeps none."""


class Ask(NamedTuple):
    """Frames for one guest."""

    kind: GuestKind
    variant: Variant | None
    """``None``: any."""
    frames: Sequence[bytes]


_Lane = tuple[GuestKind, Variant | None]


class Pool:
    """Warm guests of one backend. Use :meth:`open` and :meth:`close`; all on one event loop."""

    def __init__(self, backend: Backend, size: int) -> None:
        self.backend = backend
        self.size = max(2, size)
        self.restarts = 0
        self._slow_s = backend.pace.slow_s
        self._forsaken_s = FORSAKEN_S + backend.pace.patience_s
        self._patience_s = backend.pace.patience_s
        self._ahead_s = backend.pace.ahead_s
        self._lanes: dict[_Lane, list[Worker]] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[_Lane, deque[GuestRequest]] = {}
        self._lost: set[_Lane] = set()
        """Lanes without guests, where starting one fails again and again."""
        self._starting: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False
        self._script_guests_wanted = False
        self._relief_s = _RELIEF_S

    # ---- life ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start the backend and all guests. Raises :class:`BackendUnavailable`."""
        starting: list[asyncio.Task[None]] = []
        try:
            await self.backend.open()
            starting = [asyncio.create_task(self._start(role)) for role in self._roles()]
            await asyncio.gather(*starting)
        except BaseException:
            await end_all(starting)
            await self.close()
            raise
        self._ticker = asyncio.create_task(self._tick())

    def _roles(self) -> Iterator[Role]:
        cores = sorted(os.sched_getaffinity(0))
        for place in range(self.size):
            core = cores[(place + place // 2) % len(cores)]  # both variants on each core
            for kind in PROGRAM_KINDS:
                yield Role(kind, place % 2, next(self._numbers), core)
        for _ in range(max(2, self.size // _PLACES_PER_PARSER)):
            yield Role("parser", 0, next(self._numbers))

    def start_script_guests(self) -> bool:
        """Start as many guests for scripts as there are places, once, in the background.

        Returns whether the backend has such guests. Not done by :meth:`open`: they would be of no
        use to those who only verify.
        """
        if "script" not in self.backend.kinds:
            return False
        if not self._script_guests_wanted and not self._closed:
            self._script_guests_wanted = True
            for _ in range(self.size):
                self._restart(Role("script", 0, 0))
        return True

    async def close(self) -> None:
        """End all guests and the backend. Callers that still wait get :class:`ExecutorClosed`."""
        self._closed = True
        tasks = [*self._starting, *([self._ticker] if self._ticker else [])]
        await end_all(tasks)
        for request in self._all_requests():
            if not request.done:
                request.replies.future.set_exception(ExecutorClosed("the executor was closed"))
        workers = self.workers
        self._lanes.clear()
        await asyncio.gather(*(worker.close() for worker in workers), *self._closing)
        await self.backend.close()

    @property
    def workers(self) -> list[Worker]:
        """All guests that are up."""
        return [w for (_, variant), lane in self._lanes.items() if variant is None for w in lane]

    def _all_requests(self) -> list[GuestRequest]:
        waiting = [request for lane in self._waiting.values() for request in lane]
        return waiting + [request for worker in self.workers for request in worker.in_flight]

    def stats(self) -> PoolStats:
        """Counts of the present moment."""
        now = time.monotonic()
        waiting = [r for lane in self._waiting.values() for r in lane if not r.done]
        oldest = min((r.arrived_at for r in waiting), default=now)
        workers: Counter[tuple[str, str]] = Counter(
            (w.role.kind, w.state(now, self._slow_s)) for w in self.workers
        )
        if self._starting:
            workers["any", "starting"] = len(self._starting)
        in_flight = sum(worker.load for worker in self.workers)
        return PoolStats(
            waiting=len(waiting),
            oldest_wait_s=max(0.0, now - oldest),
            in_flight=in_flight,
            workers=dict(workers),
            restarts=self.restarts,
            script_jails=self.backend.script_jails,
        )

    # ---- requests ------------------------------------------------------------------------------

    async def request(
        self,
        frame: bytes,
        kind: GuestKind,
        deadline_s: float,
        *,
        once_if_slow_s: float | None = None,
    ) -> RawReply | None:
        """Have one frame answered by a guest of any variant; ``None`` when the platform failed in
        spite of retries.

        Raises:
            OutOfTime: a guest ended that worked on it for ``once_if_slow_s``; it is not repeated.
        """
        asked = [Ask(kind, None, [frame])]
        (answer,) = await self.requests(asked, deadline_s, once_if_slow_s=once_if_slow_s)
        return answer

    def requests(
        self, asked: Sequence[Ask], deadline_s: float, *, once_if_slow_s: float | None = None
    ) -> asyncio.Future[list[RawReply | None]]:
        """Have the frames of some requests answered, each as those of :meth:`request`; the answers
        are in the order of all frames. Cancelling the future takes the requests back."""
        if self._closed:
            raise ExecutorClosed("the executor is closed")
        future: asyncio.Future[list[RawReply | None]] = asyncio.get_running_loop().create_future()
        replies = Replies(sum(len(one.frames) for one in asked), future)
        at = 0
        for kind, variant, frames in asked:
            if not frames:
                continue
            deadline = deadline_s + self._patience_s
            request = GuestRequest(deque(frames), replies, deadline, at, once_if_slow_s)
            at += len(frames)
            self._enqueue(request, (kind, variant))
        return future

    def _enqueue(self, request: GuestRequest, lane: _Lane) -> None:
        if lane in self._lost:
            request.give_up()
            return
        waiting = self._waiting.get(lane)
        if waiting is None:
            waiting = self._waiting[lane] = deque()
        if not waiting or waiting[-1].arrived_at <= request.arrived_at:
            waiting.append(request)
        else:  # oldest item first, also if it comes back from a guest that was slow or died
            insort(waiting, request, key=attrgetter("arrived_at"))
        worker = self._idlest(lane)
        if worker is not None:
            self._refill(worker)

    def _idlest(self, lane: _Lane) -> Worker | None:
        """The worker with the fewest frames, if any has room; not one stuck on a slow run."""
        now = time.monotonic()
        best: Worker | None = None
        fewest = WINDOW
        for worker in self._lanes.get(lane, ()):
            if (
                worker.load >= min(fewest, self._window(worker))
                or worker.retiring
                or worker.clogged
            ):
                continue
            if not worker.load or worker.head_age(now) < self._slow_s:
                best, fewest = worker, worker.load
        return best

    def _window(self, worker: Worker) -> int:
        """Frames that may be inside a guest's pipe."""
        if worker.role.kind == "script":
            return SCRIPT_WINDOW
        if worker.usual_s * WINDOW <= self._ahead_s:
            return WINDOW
        return max(1, int(self._ahead_s / worker.usual_s))

    def _refill(self, worker: Worker) -> None:
        if worker.served >= RETIRE_AFTER and not worker.retiring:
            worker.retiring = True
            self._restart(worker.role)
        if worker.retiring:
            if not worker.in_flight:
                worker.end()
            return
        window = self._window(worker)
        if worker.load > window // 2 or worker.clogged:
            return  # fill up in one go: each write wakes the guest
        while worker.load < window:
            request = self._next_for(worker)
            if request is None:
                return
            worker.send(request)

    def _next_for(self, worker: Worker) -> GuestRequest | None:
        own = _lanes_of(worker.role)
        lanes = [lane for key in own if (lane := self._waiting.get(key))]
        while lanes:
            oldest = min(lanes, key=lambda lane: lane[0].arrived_at)
            request: GuestRequest = oldest.popleft()
            if not request.done:
                return request
            lanes = [lane for lane in lanes if lane]
        return None

    # ---- faults --------------------------------------------------------------------------------

    def _ended(self, worker: Worker) -> None:
        """A guest is gone: move its requests and start another in its place."""
        self._unregister(worker)
        rest = worker.blame()
        head, *others = worker.in_flight or (None,)
        self._move(worker, [request for request in (head, rest, *others) if request is not None])
        worker.in_flight.clear()
        task = asyncio.create_task(worker.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        if not worker.retiring and not self._closed:
            self.restarts += 1
            self._restart(worker.role)

    def _move(self, worker: Worker, requests: list[GuestRequest]) -> None:
        lane = _lane_after(worker.role)
        for request in requests:
            if request.done:
                continue
            if request.attempts >= MAX_ATTEMPTS or request.unseen >= _MAX_UNSEEN:
                request.give_up()
            else:
                self._enqueue(request, lane)

    def _is_held_up(self, lane: _Lane) -> bool:
        """Whether requests wait in a lane all of whose guests have long been stuck on a run."""
        if not self._waiting.get(lane):
            return False
        now = time.monotonic()
        return all(worker.head_age(now) >= self._relief_s for worker in self._lanes.get(lane, ()))

    def _restart(self, role: Role) -> None:
        task = asyncio.create_task(self._start_again(replace(role, number=next(self._numbers))))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start_again(self, role: Role) -> None:
        # For ever: an engine that is down for an hour is up after it.
        for attempt in itertools.count(1):
            await asyncio.sleep(_RESTART_DELAYS_S[min(attempt, len(_RESTART_DELAYS_S)) - 1])
            try:
                await self._start(role)
            except BackendUnavailable:
                if attempt >= len(_RESTART_DELAYS_S):
                    self._give_up(role)
            else:
                return

    def _give_up(self, role: Role) -> None:
        """Tell the callers that wait for such a guest, if there is none; and those to come."""
        for lane in _lanes_of(role):
            if self._lanes.get(lane):
                continue
            self._lost.add(lane)
            for request in self._waiting.pop(lane, ()):
                request.give_up()

    async def _start(self, role: Role) -> None:
        began = time.monotonic()
        guest = await self.backend.launch(role)
        self._relief_s = max(_RELIEF_S, _RELIEF_STARTS * (time.monotonic() - began))
        worker = Worker(guest, role, on_space=self._refill, on_end=self._ended)
        for lane in _lanes_of(role):
            self._lanes.setdefault(lane, []).append(worker)
            self._lost.discard(lane)
        self._refill(worker)

    def _unregister(self, worker: Worker) -> None:
        for lane in _lanes_of(worker.role):
            if worker in self._lanes.get(lane, ()):
                self._lanes[lane].remove(worker)

    async def _tick(self) -> None:
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            if now - asleep > _LATE_S:
                continue  # this loop was held up: replies may lie unread, no guest is to blame
            for worker in list(self.workers):
                age = worker.head_age(now)
                if age > self._slow_s:
                    self._handle_slow(worker, age)

    def _handle_slow(self, worker: Worker, age: float) -> None:
        head = worker.in_flight[0]
        if age > (self._forsaken_s if head.done else head.deadline_s):
            worker.end()  # nobody waits for it any more, or the guest is dead
            return
        lane = _lane_after(worker.role)
        if worker.load > 1 and (age >= self._relief_s or self._idlest(lane) is not None):
            self._move(worker, worker.give_up_followers())
        programs = worker.role.kind in PROGRAM_KINDS and not worker.retiring
        if programs and any(map(self._is_held_up, _lanes_of(worker.role))):
            self._relieve(worker)

    def _relieve(self, worker: Worker) -> None:
        """Start a guest beside one that is stuck; at most one for each place."""
        relieved = sum(w.retiring and w.role.kind == worker.role.kind for w in self.workers)
        if relieved < self.size:
            worker.retiring = True
            self._restart(worker.role)


def _lanes_of(role: Role) -> tuple[_Lane, _Lane]:
    """The lanes that a guest serves: its own variant, and any variant."""
    return (role.kind, role.variant), (role.kind, None)


def _lane_after(role: Role) -> _Lane:
    """The lane for requests that are taken back from a guest."""
    own, any_variant = _lanes_of(role)
    return own if role.kind in PROGRAM_KINDS else any_variant
