"""Which node gets which item, with nodes that do nothing but what a test tells them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from executor import ExecutorClosed, Triplet
from executor.fleet.router import ATTEMPTS, Exhausted, NodeLost, Router
from executor.fleet.work import Work


def item(number: int) -> Work:
    return Work("validate", Triplet(program="p", inputs=(str(number),)))


class Told:
    """A node that finishes what a test says."""

    def __init__(self, name: str, weight: int = 1) -> None:
        self.name = name
        self.weight = weight
        self.taken: list[tuple[Work, asyncio.Future[Any]]] = []

    def submit(self, work: Work) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.taken.append((work, future))
        return future

    def finish(self, result: str = "done") -> None:
        for _, future in self.taken:
            if not future.done():
                future.set_result(f"{result} by {self.name}")

    def die(self) -> None:
        for _, future in self.taken:
            if not future.done():
                future.set_exception(NodeLost(self.name))

    @property
    def in_hand(self) -> int:
        return sum(not future.done() for _, future in self.taken)


def begin(router: Router, count: int) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(router.do(item(number))) for number in range(count)]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_items_go_to_the_least_loaded_node_for_its_size() -> None:
    router, small, large = Router(per_worker=10), Told("small", 1), Told("large", 3)
    router.add(small)
    router.add(large)
    tasks = begin(router, 20)
    await settle()
    assert (small.in_hand, large.in_hand) == (5, 15)
    small.finish()
    large.finish()
    assert len(await asyncio.gather(*tasks)) == 20


async def test_no_node_has_more_than_it_may_and_the_others_wait_in_order() -> None:
    router, node = Router(per_worker=2), Told("a")
    router.add(node)
    tasks = begin(router, 5)
    await settle()
    assert node.in_hand == 2
    for _ in range(3):
        node.finish()
        await settle()
    await asyncio.gather(*tasks)
    assert [work.item.inputs[0] for work, _ in node.taken] == ["0", "1", "2", "3", "4"]  # type: ignore[attr-defined]


async def test_what_a_lost_node_had_is_done_by_another() -> None:
    router, first, second = Router(per_worker=10), Told("first"), Told("second")
    router.add(first)
    tasks = begin(router, 7)
    await settle()
    router.add(second)
    first.die()
    await settle()
    assert second.in_hand == 7
    assert router.nodes == [second]
    second.finish()
    assert await asyncio.gather(*tasks) == ["done by second"] * 7
    assert router.repeated == 7


async def test_an_item_waits_for_a_node_that_comes_later() -> None:
    router, node = Router(), Told("late")
    tasks = begin(router, 3)
    await settle()
    router.add(node)
    await settle()
    node.finish()
    assert await asyncio.gather(*tasks) == ["done by late"] * 3


async def test_an_item_that_is_lost_with_many_nodes_is_given_up() -> None:
    router = Router()
    (task,) = begin(router, 1)
    for number in range(ATTEMPTS):
        node = Told(str(number))
        router.add(node)
        await settle()
        node.die()
        await settle()
    with pytest.raises(Exhausted, match=f"{ATTEMPTS} nodes were lost"):
        await task


async def test_without_any_node_an_item_is_given_up_in_time() -> None:
    with pytest.raises(Exhausted, match="no node has been there"):
        await Router(patience_s=0.01).do(item(0))


async def test_a_call_that_goes_away_gives_its_place_to_the_next() -> None:
    router, node = Router(per_worker=1), Told("a")
    router.add(node)
    running, waiting, last = begin(router, 3)
    await settle()
    waiting.cancel()
    running.cancel()
    await settle()
    assert [future.cancelled() for _, future in node.taken] == [True, False]
    node.finish()
    assert await last == "done by a"


async def test_an_error_of_the_executor_is_the_callers() -> None:
    router, node = Router(), Told("a")
    router.add(node)
    (task,) = begin(router, 1)
    await settle()
    node.taken[0][1].set_exception(ValueError("no such thing"))
    with pytest.raises(ValueError, match="no such thing"):
        await task
    assert router.repeated == 0


async def test_closing_ends_what_waits() -> None:
    router, node = Router(per_worker=1), Told("a")
    router.add(node)
    tasks = begin(router, 3)
    await settle()
    router.close()
    node.finish()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [str, ExecutorClosed, ExecutorClosed]


async def test_what_a_slow_node_has_is_also_given_to_an_idle_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("executor.fleet.router._LOOK_EVERY_S", 0.0)
    router, slow, idle = Router(), Told("slow", 3), Told("idle", 2)
    router.add(slow)
    tasks = begin(router, 3)
    await settle()
    router.add(idle)
    watch = asyncio.create_task(router.watch())
    await settle()
    assert (slow.in_hand, idle.in_hand) == (3, 0)  # it is not slow yet
    monkeypatch.setattr("executor.fleet.router._SLOW_S", 0.0)
    await settle()
    assert idle.in_hand == 2  # as many as it has workers; once each
    slow.taken[2][1].set_result("done by slow")
    idle.finish()
    await settle()
    assert [future.cancelled() for _, future in slow.taken] == [True, True, False]
    slow.die()
    assert await asyncio.gather(*tasks) == ["done by idle"] * 2 + ["done by slow"]
    assert (router.copied, router.repeated) == (2, 0)
    watch.cancel()


async def test_of_an_item_on_two_nodes_one_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_EVERY_S", "_SLOW_S"):
        monkeypatch.setattr(f"executor.fleet.router.{name}", 0.0)
    router, first, second = Router(), Told("first"), Told("second")
    router.add(first)
    (task,) = begin(router, 1)
    await settle()
    router.add(second)
    watch = asyncio.create_task(router.watch())
    await settle()
    assert (first.in_hand, second.in_hand) == (1, 1)
    second.die()
    await settle()
    assert not task.done()
    first.finish()
    assert await task == "done by first"
    assert router.repeated == 0
    watch.cancel()
