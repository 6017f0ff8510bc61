"""Bounded queues: who waits, who is refused, who goes first, and that leaving frees a place."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from executor.service.errors import ApiError
from executor.service.work.admission import Lane
from executor.service.work.interruption import Interruption
from tests.support.programs import ENDLESS
from tests.support.server import Server, busy, running, stats
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

LINES = {"content-type": "application/x-ndjson"}
GOOD = {"program": "def f(x):\n    return x", "inputs": ["1"]}


def endless(number: int) -> dict[str, Any]:
    return {"program": f"{ENDLESS}  # {number}", "inputs": ["1"]}


async def test_single_calls_pass_lines_of_batches() -> None:
    lane = Lane("run", places=1, queue=10)
    order = []

    async def call(name: str, background: bool) -> None:
        await lane.enter(background=background)
        order.append(name)
        lane.leave(background=background, ran_s=0.0)

    await lane.enter(background=False)
    async with asyncio.TaskGroup() as group:
        for name, background in (("a", True), ("b", False), ("c", True), ("d", False)):
            group.create_task(call(name, background))
        await asyncio.sleep(0)
        assert (lane.running, lane.waiting) == (1, 4)
        lane.leave(background=False, ran_s=0.0)
    assert order == ["b", "d", "a", "c"]
    assert lane.running == lane.waiting == 0


async def test_batches_leave_a_quarter_of_the_places() -> None:
    lane = Lane("verify", places=8, queue=10)
    tasks = [asyncio.create_task(lane.enter(background=True)) for _ in range(8)]
    await asyncio.sleep(0)
    assert (lane.running, lane.waiting) == (6, 2)
    assert await lane.enter(background=False) == 0
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_full_queue_refuses_with_an_estimate() -> None:
    lane = Lane("verify", places=1, queue=1)
    await lane.enter(background=False)
    waiting = asyncio.create_task(lane.enter(background=False))
    await asyncio.sleep(0.02)
    assert 0.01 < lane.oldest_wait_s() < 5
    with pytest.raises(ApiError) as refused:
        await lane.enter(background=False)
    assert (refused.value.status, refused.value.code) == (429, "queue_full")
    assert refused.value.headers["retry-after"].isdigit()
    lane.leave(background=False, ran_s=0.02)
    assert await waiting > 0.01


@pytest.mark.parametrize("seed", range(20))
async def test_places_are_never_lost_nor_doubled(seed: int) -> None:
    chance = random.Random(seed)
    lane = Lane("verify", places=chance.randint(1, 4), queue=100)
    inside = 0

    async def call(background: bool) -> None:
        nonlocal inside
        await lane.enter(background=background)
        try:
            inside += 1
            assert inside <= lane.places
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
        finally:
            inside -= 1
            lane.leave(background=background, ran_s=0.0)

    tasks = []
    for _ in range(60):
        tasks.append(asyncio.create_task(call(chance.random() < 0.5)))
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        if chance.random() < 0.4:
            chance.choice(tasks).cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [error for error in ended if isinstance(error, Exception)]
    assert lane.running == lane.waiting == inside == 0


async def test_a_block_can_be_ended_with_a_reason() -> None:
    interruption = Interruption()
    asyncio.get_running_loop().call_later(0.01, interruption.end, ValueError("the reason"))
    with pytest.raises(ValueError, match="the reason"), interruption:
        await asyncio.sleep(10)
    await asyncio.sleep(0)  # nothing is left of the cancellation
    interruption.end(ValueError("too late"))
    await asyncio.sleep(0)


async def test_cancelling_a_task_goes_through_its_block() -> None:
    async def work() -> None:
        with Interruption():
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def send(server: Server, path: str, body: bytes, kind: str) -> socket.socket:
    """A request whose answer is not waited for."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
    connection.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
    return connection


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/validate", endless(1)),
        ("/v1/judge", {"task": "deduction", "answers": ["1"], **endless(2)}),
        ("/v1/run", {"source": "while True: pass"}),
    ],
)
def test_a_client_that_leaves_frees_its_place(
    patient_server: Server, path: str, body: dict[str, Any]
) -> None:
    server = patient_server
    with send(server, path, json.dumps(body).encode(), "application/json"):
        wait_until(lambda: busy(stats(server)) > 0)
    wait_until(lambda: busy(stats(server)) == 0, 30)  # less than the program's limits


def test_a_single_call_does_not_wait_for_a_batch_of_slow_programs(server: Server) -> None:
    body = b"".join(json.dumps(endless(n)).encode() + b"\n" for n in range(300))
    with send(server, "/v1/validate/batch", body, "application/x-ndjson"):
        wait_until(lambda: stats(server)["waiting"] > 20)
        started = time.monotonic()
        answer = httpx.post(f"{server.url}/v1/validate", json=GOOD, timeout=60)
        assert answer.json()["status"] == "ok"
        # behind the programs that run now (5 s of CPU each), not behind the 300 that wait
        assert time.monotonic() - started < 30
    wait_until(lambda: busy(stats(server)) == 0)


@pytest.fixture(scope="module")
def full_server() -> Iterator[Server]:
    """One that is full with little: 8 places for scripts, and 2 that wait."""
    with running("--workers", "2", "--queue", "2") as made:
        yield made


def test_too_many_calls_are_told_when_to_come_back(full_server: Server) -> None:
    slow = {"source": "import time; time.sleep(4)"}

    def run(_: int) -> httpx.Response:
        return httpx.post(f"{full_server.url}/v1/run", json=slow, timeout=60)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(run, range(16)))
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 429}
    assert codes.count(200) >= 10
    for answer in answers:
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert answer.json()["error"]["code"] == "queue_full"
        else:
            assert answer.json()["status"] == "ok"
    metrics = httpx.get(f"{full_server.url}/metrics").text
    assert 'executor_rejected_total{code="queue_full"}' in metrics
    waited = [
        line for line in metrics.splitlines() if line.startswith("executor_queue_seconds_sum")
    ]
    assert float(waited[0].split()[-1]) > 0.5
