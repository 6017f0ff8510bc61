"""Packs jobs of all guests into requests, and finds out what became of each.

* Jobs of one role and hash seed go together, oldest first, up to bounds.
* A job whose reply did not come is sent again. If the script died, the first job without a reply is
  the suspect: it goes alone from then on. If the script ended well, the server has lost its output:
  it gets fewer requests at a time, and only where it gets one at a time is an attempt counted.
* After ``_ATTEMPTS`` a job is given up, which is an ``infra`` outcome. But what ends a script that
  has one job only, a time limit of the server or each attempt, is that job's outcome.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import NamedTuple

from executor.backends.base import HASH_SEEDS, PRELOAD, Role
from executor.backends.sandboxfusion.server import Ran, Server, ServerFault
from executor.backends.sandboxfusion.wire import (
    STDOUT_ROOM,
    is_end,
    jobs_request,
    pack_body,
    read_lines,
)
from executor.tasks import end_all
from executor.wire.frames import JOB, REPORT, Order, Outcome
from executor.wire.layout import ORDER_SHIFT, OVERFLOW

MAX_JOBS = 64
MAX_BYTES = 1 << 20
_ATTEMPTS = 4
_BUDGET_S = 1.0
"""After so long a pack starts no further job."""
_START_S = 5.0
"""For the server to start the script."""
_GROW_AFTER = 32

_ORDER_SEEDS = {
    Order.ROTATED: 15_485_863,
    Order.REVERSED: 32_452_843,
    Order.SHUFFLED: 49_979_687,
}
"""Without the compiled core, sets in another order are had by another hash seed."""


class GuestDied(Exception):
    """The job ended the process that was at work on it."""


class Interpreter(NamedTuple):
    """The interpreter that programs run on."""

    name: str
    build: str
    version: tuple[int, ...]
    filter: bool
    """Whether children can have the verify profile's filter."""
    blobs: dict[str, bytes]
    """The guest's code by role."""


class _Group(NamedTuple):
    role: str
    seed: int
    preload: bool


class _Job:
    """A job on its way."""

    def __init__(self, group: _Group, payload: bytes) -> None:
        self.group = group
        self.payload = payload
        self.futures: list[asyncio.Future[bytes]] = []
        """Of those who wait for it: the pool may move a request while it is on its way."""
        self.attempts = 0
        self.alone = False
        self.number = 0
        self.wall_s = 0.0
        if group.role == "parser":
            self.fields: tuple[int, ...] = ()
            self.body = pack_body(payload)
        else:
            self.number, wall_ms, *_ = self.fields = JOB.unpack_from(payload)
            self.wall_s = wall_ms / 1000
            self.body = pack_body(payload[JOB.size :])

    def answer(self, reply: bytes) -> None:
        """Give the reply to whoever waits for it."""
        for future in self.futures:
            if not future.done():
                future.set_result(reply)

    @property
    def key(self) -> tuple[str, int, bytes]:
        """Key by which it is the same as another one."""
        return self.group.role, self.group.seed, self.payload

    @property
    def done(self) -> bool:
        """Answered, or nobody waits for it any more."""
        return all(future.done() for future in self.futures)

    def die(self) -> None:
        """Tell that a guest of this machine would have died of it."""
        for future in self.futures:
            if not future.done():
                future.set_exception(GuestDied())

    def end(self, outcome: Outcome) -> None:
        """Give a reply of our own: how it ended without one."""
        if self.group.role == "parser":
            self.answer(b"")
        else:
            wall_us = round(self.wall_s * 1e6) if outcome is Outcome.WALL_LIMIT else 0
            self.answer(REPORT.pack(self.number, outcome, 0, 0, 0, wall_us, 0, 0))


class Packer:
    """Sends jobs to a server. :meth:`close` it."""

    def __init__(self, server: Server, interpreter: Interpreter, places: int) -> None:
        self._server = server
        self._interpreter = interpreter
        self._most = places
        self._places = places
        self._successes = 0
        self._waiting: dict[_Group, deque[_Job]] = {}
        self._pending: dict[tuple[str, int, bytes], _Job] = {}
        self._packs: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self.lost = 0
        """Answers without the output that they should have had."""

    def submit(self, role: Role, payload: bytes) -> asyncio.Future[bytes]:
        """Take a frame for a guest; the future is its reply."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        job = _Job(_group(role, payload), payload)
        known = self._pending.get(job.key)
        if known is not None and not known.done:
            known.futures.append(future)
            future.add_done_callback(lambda _: self._forget(known))
            return future
        job.futures.append(future)
        self._pending[job.key] = job
        future.add_done_callback(lambda _: self._forget(job))
        self._put(job)
        self._schedule()
        return future

    def _forget(self, job: _Job) -> None:
        if job.done and self._pending.get(job.key) is job:
            del self._pending[job.key]

    def _put(self, job: _Job, *, first: bool = False) -> None:
        lane = self._waiting.setdefault(job.group, deque())
        if first:
            lane.appendleft(job)
        else:
            lane.append(job)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        while len(self._packs) < self._places and (jobs := self._next_pack()):
            task = asyncio.get_running_loop().create_task(self._do(jobs))
            self._packs.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._packs.discard(task)
        self._schedule()

    def _next_pack(self) -> list[_Job]:
        """The first jobs of a lane, lanes taking turns; a suspect goes alone."""
        for lane in list(self._waiting.values()):
            jobs: list[_Job] = []
            size = 0
            while lane and len(jobs) < MAX_JOBS and size < MAX_BYTES:
                if jobs and lane[0].alone:
                    break
                job = lane.popleft()
                if job.done:
                    continue
                jobs.append(job)
                size += len(job.body)
                if job.alone:
                    break
            if jobs:
                self._waiting[jobs[0].group] = self._waiting.pop(jobs[0].group)  # last in turn
                return jobs
        return []

    async def _do(self, jobs: list[_Job]) -> None:
        try:
            ran, lines = await self._ask(jobs)
        except ServerFault:
            for job in jobs:
                job.end(Outcome.SPAWN_FAILED)
            return
        missing = []
        for number, job in enumerate(jobs):
            reply = lines.get(number)
            if reply is None:
                missing.append(job)
            else:
                job.answer(reply)
        if missing:
            self._again(jobs, missing, ran, lines)
        else:
            self._went_well()

    async def _ask(self, jobs: list[_Job]) -> tuple[Ran, dict[int, bytes]]:
        group = jobs[0].group
        interpreter = self._interpreter
        options = {
            "role": group.role,
            "room": STDOUT_ROOM,
            "budget_ms": round(_BUDGET_S * 1000),
            "preload": PRELOAD if group.preload else (),
            "filter": interpreter.filter,
            "token": f"guest-{os.urandom(4).hex()}",
        }
        request = jobs_request(
            build=interpreter.build,
            blob=interpreter.blobs[group.role],
            hash_seed=group.seed,
            options=options,
            jobs=[(number, *job.fields[1:]) for number, job in enumerate(jobs)],
            bodies=[job.body for job in jobs],
        )
        fields = {
            "language": "python",
            "code": request.code,
            "stdin": request.stdin,
            "fetch_files": [OVERFLOW],
        }
        longest = max(job.wall_s for job in jobs)
        ran = await self._server.run(fields, _START_S + _BUDGET_S + longest)
        lines = read_lines(request.key, ran.stdout, ran.files.get(OVERFLOW, b""))
        return ran, {number: _numbered(jobs, number, payload) for number, payload in lines.items()}

    def _again(
        self, jobs: list[_Job], missing: list[_Job], ran: Ran, lines: dict[int, bytes]
    ) -> None:
        end = next((payload for number, payload in lines.items() if is_end(number)), None)
        if end is not None:
            blamed = [job for job in missing if job in jobs[: int(end)]]
        elif ran.status == "Finished" and ran.return_code == 0:
            blamed = missing if self._places == 1 else []
            self._lost_output()
        else:
            blamed = missing[:1]
            if len(jobs) == 1:
                self._died_alone(blamed[0], ran)
            blamed[0].alone = True
        for job in blamed:
            job.attempts += 1
            if job.attempts >= _ATTEMPTS:
                job.end(Outcome.SPAWN_FAILED)
        for job in reversed(missing):
            self._put(job, first=True)

    @staticmethod
    def _died_alone(job: _Job, ran: Ran) -> None:
        """The script ended early with a job that was alone in it: that is the job's doing, unless
        it was chance."""
        if job.group.role == "parser":
            job.die()
        elif ran.status == "TimeLimitExceeded":
            job.end(Outcome.WALL_LIMIT)
        elif job.attempts + 1 >= _ATTEMPTS:
            job.end(Outcome.CLOSED)

    def _lost_output(self) -> None:
        self.lost += 1
        self._successes = 0
        self._places = max(1, self._places // 2)

    def _went_well(self) -> None:
        self._successes += 1
        if self._successes >= _GROW_AFTER * self._places and self._places < self._most:
            self._successes = 0
            self._places += 1

    async def close(self) -> None:
        """End the requests."""
        for lane in self._waiting.values():
            lane.clear()
        await end_all(self._packs)


def _group(role: Role, payload: bytes) -> _Group:
    if role.kind == "parser":
        return _Group("parser", HASH_SEEDS[role.variant], preload=False)
    order = Order(JOB.unpack_from(payload)[5] >> ORDER_SHIFT & 3)
    seed = _ORDER_SEEDS.get(order, HASH_SEEDS[role.variant])
    return _Group("zygote", seed, preload=role.kind == "lib")


def _numbered(jobs: list[_Job], number: int, payload: bytes) -> bytes:
    """A reply with the job's own number for its place in the pack."""
    if is_end(number) or not 0 <= number < len(jobs) or jobs[number].group.role == "parser":
        return payload
    return jobs[number].number.to_bytes(4, "little") + payload[4:]
