"""Requests of several frames: what is answered, blamed and moved, frame by frame."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from executor.backends.base import Backend, Pace, Role
from executor.pool.pool import MAX_ATTEMPTS, Ask, Pool
from executor.pool.worker import RawReply
from executor.wire.frames import REPORT, Outcome

DIE, SILENCE, SLOW = b"die", b"silence", b"slow"
SLOW_S = 0.1
"""What a slow frame takes: more than the pool waits before it looks for another guest for those
behind, and less than it leaves to a guest whose frame nobody wants."""
KILLED = REPORT.pack(1, Outcome.NO_RESULT, signal.SIGKILL, 2, 0, 0, 0, 0)


class FakeGuest:
    """Answers a frame with its own payload, or dies or falls silent if the payload says so."""

    def __init__(self, note: Callable[[bytes], None]) -> None:
        self._host, self._own = socket.socketpair()
        self.read_fd = self.write_fd = self._host.fileno()
        self._note = note
        self._data = b""
        self._kills = 0
        self._loop = asyncio.get_running_loop()
        for end in (self._host, self._own):
            end.setblocking(False)
        self._loop.add_reader(self._own, self._read)

    def _read(self) -> None:
        self._data += self._own.recv(1 << 16)
        self._work()

    def _work(self) -> None:
        while self._data:
            size = 4 + int.from_bytes(self._data[:4], "little")
            payload, self._data = self._data[4:size], self._data[size:]
            self._note(payload)
            if payload.startswith(SILENCE):
                self._data = b""
                self._loop.remove_reader(self._own)
            elif payload.startswith(DIE):
                self.kill()
                return
            elif payload.startswith(SLOW):
                self._loop.remove_reader(self._own)
                self._loop.call_later(SLOW_S, self._reply_late, payload)
                return
            else:
                self._kills += payload == KILLED
                self._own.send(_frame(payload))

    def _reply_late(self, payload: bytes) -> None:
        if self._own.fileno() >= 0:
            self._own.send(_frame(payload))
            self._loop.add_reader(self._own, self._read)
            self._work()

    def memory_kills(self) -> int:
        assert self._host.fileno() >= 0, "asked of a guest that is gone"
        return self._kills

    def kill(self) -> None:
        if self._own.fileno() >= 0:
            self._loop.remove_reader(self._own)
            self._own.close()

    async def close(self) -> None:
        self.kill()
        self._host.close()


class FakeBackend:
    """Guests without a sandbox."""

    name, isolated, warnings, interpreter = "fake", False, (), "CPython"
    script_jails: Mapping[str, int] = {}
    pace = Pace(slow_s=0.03)

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.saw_one = asyncio.Event()

    def note(self, payload: bytes) -> None:
        self.seen.append(payload)
        self.saw_one.set()

    async def open(self) -> None:
        pass

    async def launch(self, _role: Role) -> Any:
        return FakeGuest(self.note)

    async def close(self) -> None:
        pass


def _frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + payload


@asynccontextmanager
async def open_pool() -> AsyncIterator[tuple[Pool, FakeBackend]]:
    backend = FakeBackend()
    pool = Pool(cast(Backend, backend), 2)
    await pool.open()
    try:
        yield pool, backend
    finally:
        await pool.close()


def ask(*payloads: bytes, variant: int | None = None) -> Ask:
    return Ask("bare", variant, [_frame(payload) for payload in payloads])


def payloads(answers: list[RawReply | None]) -> list[bytes | None]:
    return [answer and answer.payload for answer in answers]


async def test_frames_of_several_requests_are_answered_at_once_and_in_order() -> None:
    async with open_pool() as (pool, _):
        asked = [ask(b"a", b"b", variant=0), ask(b"c", variant=1), ask(b"d", b"e")]
        answers = await pool.requests(asked, 5.0)
        assert payloads(answers) == [b"a", b"b", b"c", b"d", b"e"]
        assert pool.stats().in_flight == 0


async def test_a_frame_that_kills_guests_is_given_up_and_those_around_it_are_answered() -> None:
    async with open_pool() as (pool, backend):
        answers = await pool.requests([ask(b"a", DIE, b"b", b"c")], 5.0)
        assert payloads(answers) == [b"a", None, b"b", b"c"]
        assert backend.seen.count(DIE) == MAX_ATTEMPTS
        assert backend.seen.count(b"a") == backend.seen.count(b"b") == 1


async def test_frames_behind_a_slow_one_move_to_another_guest() -> None:
    async with open_pool() as (pool, backend):
        future = pool.requests([ask(b"a", SILENCE, b"b", b"c")], 5.0)
        while not {b"b", b"c"} <= set(backend.seen):
            backend.saw_one.clear()
            await backend.saw_one.wait()
        assert not future.done()
        assert backend.seen.count(SILENCE) == 1
        future.cancel()


async def test_slow_frames_for_one_guest_are_run_once_each() -> None:
    async with open_pool() as (pool, backend):
        slow = [SLOW + b"%d" % number for number in range(8)]
        asked = [ask(one, variant=0) for one in slow]
        answers = await asyncio.wait_for(pool.requests(asked, 5.0), 5.0)
        assert payloads(answers) == slow
        assert sorted(backend.seen) == slow, "copies of a run delay it again and again"


async def test_slow_frames_are_shared_out_among_guests() -> None:
    async with open_pool() as (pool, backend):
        slow = [SLOW + b"%d" % number for number in range(8)]
        answers = await asyncio.wait_for(pool.requests([ask(one) for one in slow], 5.0), 5.0)
        assert payloads(answers) == slow
        assert len(backend.seen) <= 2 * len(slow)


async def test_a_guest_that_stays_silent_costs_the_frame_that_it_worked_on_an_attempt() -> None:
    async with open_pool() as (pool, backend):
        answers = await pool.requests([ask(SILENCE, b"a")], 0.05)
        assert payloads(answers) == [None, b"a"]
        assert backend.seen.count(SILENCE) == MAX_ATTEMPTS


async def test_a_kill_for_memory_is_told_of_the_run_that_it_ended_though_the_guest_is_gone() -> (
    None
):
    async with open_pool() as (pool, _):
        answers = await pool.requests([ask(b"a", KILLED, DIE)], 5.0)
        assert [answer and answer.memory_killed for answer in answers] == [False, True, None]
