"""The real router in simulated time, and how it finds the least loaded node."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from benchmarks.simulated_clock import run
from benchmarks.simulated_fleet import burst, steps
from benchmarks.simulated_nodes import Costs, Fleet
from executor import Triplet
from executor.fleet.router import Router
from executor.fleet.work import Work

COSTS = Costs(front=0.0, item=0.002, spread=0.5, endless=0.0)
ITEM = Work("validate", Triplet(program="p", inputs=("1",)))


def test_a_pause_of_a_month_costs_nothing() -> None:
    async def sleep() -> float:
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2_592_000))
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run(sleep()) == pytest.approx(2_592_000)
    assert time.monotonic() - began < 60


def test_what_cannot_come_is_not_waited_for() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="cannot come"):
        run(wait())


def test_equal_nodes_are_busy_to_the_end() -> None:
    async def one() -> Any:
        return await burst(Fleet(50, 4, COSTS, slow=0.0), 8000, 50)

    found = run(one())
    assert (found.lost, found.deaths) == (0, 0)
    assert found.busy * 16 / 4 > 0.7


def test_nodes_that_die_lose_nothing() -> None:
    """Ten nodes of which one dies about every second, with a hundred items in hand."""
    costs = COSTS._replace(item=0.1)

    async def one() -> Any:
        fleet = Fleet(10, 4, costs, failures=2e6, back_s=1.0)
        return await burst(fleet, 1000, 10)

    found = run(one())
    assert found.deaths > 1
    assert found.repeated > 3
    assert found.lost == 0


def test_a_routing_process_that_is_full_is_the_bound() -> None:
    async def one() -> Any:
        return await burst(Fleet(50, 4, COSTS._replace(front=0.001), slow=0.0), 2000, 50)

    found = run(one())
    assert found.front > 0.95
    assert found.seconds == pytest.approx(2.0, rel=0.05)


def test_a_trainer_waits_for_the_last_answers_limit() -> None:
    async def one(limit: float) -> Any:
        costs = COSTS._replace(endless=1.0, limit=limit)
        return await steps(Fleet(16, 4, costs), 64, 1)

    found = run(one(1.0))
    assert found.lost == 0
    assert 0.9 < found.waits_s[0] < 1.5


class Idle:
    """A node that keeps what it gets."""

    def __init__(self, name: str, weight: int) -> None:
        self.name = name
        self.weight = weight
        self.held: list[asyncio.Future[Any]] = []

    def submit(self, work: Work) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.held.append(future)
        return future

    @property
    def share(self) -> float:
        return sum(not one.done() for one in self.held) / (2 * self.weight)


async def test_the_least_loaded_is_found_whatever_happened_before() -> None:
    """Against a search through all, with nodes that come, go, and finish in any order."""
    chooser, router = random.Random(0), Router(per_worker=2)
    nodes: list[Idle] = []
    tasks: list[asyncio.Task[Any]] = []
    for number in range(2000):
        what = chooser.random()
        if what < 0.05 or not nodes:
            nodes.append(Idle(str(number), chooser.randrange(1, 5)))
            router.add(nodes[-1])
        elif what < 0.07 and len(nodes) > 1:
            gone = nodes.pop(chooser.randrange(len(nodes)))
            router.remove(gone)
            for future in gone.held:
                if not future.done():
                    future.set_result(None)
        elif what < 0.5:
            busy = [one for node in nodes for one in node.held if not one.done()]
            if busy:
                chooser.choice(busy).set_result(None)
        elif min(node.share for node in nodes) < 1:
            wanted = min(nodes, key=lambda node: node.share)
            before = len(wanted.held)
            tasks.append(asyncio.create_task(router.do(ITEM)))
            for _ in range(3):
                await asyncio.sleep(0)
            assert len(wanted.held) == before + 1, number
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(tasks) > 500
    assert len(router._by_load._heap) <= 4 * len(nodes) + 65
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
