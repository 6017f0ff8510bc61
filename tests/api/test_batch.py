"""The stream that all batches go through: order, back-pressure, cancellation, errors."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.api.streaming import stream


async def double(_: int, item: int) -> int:
    await asyncio.sleep(0)
    return 2 * item


def tasks_besides_this_one() -> set[asyncio.Task[object]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current and not task.done()}


@pytest.mark.parametrize("window", [1, 2, 7, 100])
@pytest.mark.parametrize("ordered", [True, False])
async def test_every_item_gives_one_result(window: int, ordered: bool) -> None:
    results = [each async for each in stream(range(20), double, window=window, ordered=ordered)]
    assert sorted(results) == list(range(0, 40, 2))
    if ordered:
        assert results == sorted(results)


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_empty_source_gives_nothing(ordered: bool) -> None:
    assert [each async for each in stream([], double, window=3, ordered=ordered)] == []


@given(delays=st.lists(st.integers(0, 4), max_size=15), window=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_order_and_completeness_do_not_depend_on_durations(delays: list[int], window: int) -> None:
    async def work(index: int, delay: int) -> tuple[int, int]:
        for _ in range(delay):
            await asyncio.sleep(0)
        return index, delay

    async def collect(*, ordered: bool) -> list[tuple[int, int]]:
        return [each async for each in stream(delays, work, window=window, ordered=ordered)]

    expected = list(enumerate(delays))
    assert asyncio.run(collect(ordered=True)) == expected
    assert sorted(asyncio.run(collect(ordered=False))) == expected


async def test_unordered_results_come_as_they_finish() -> None:
    release = asyncio.Event()

    async def work(_: int, item: int) -> int:
        if item == 0:
            await release.wait()
        return item

    results = stream(range(3), work, window=3, ordered=False)
    assert {await anext(results), await anext(results)} == {1, 2}
    release.set()
    assert await anext(results) == 0
    await results.aclose()


async def test_ordered_results_wait_for_the_first_one() -> None:
    release = asyncio.Event()

    async def work(_: int, item: int) -> int:
        if item == 0:
            await release.wait()
        return item

    results = stream(range(3), work, window=3, ordered=True)
    first = asyncio.ensure_future(anext(results))
    await asyncio.sleep(0.02)
    assert not first.done()
    release.set()
    assert await first == 0
    assert [each async for each in results] == [1, 2]


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_endless_source_is_read_only_as_far_as_the_window(ordered: bool) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = stream(endless(), double, window=5, ordered=ordered)
    for number in range(1, 31):
        await anext(results)
        await asyncio.sleep(0.001)
        assert taken <= number + 5
    await results.aclose()


async def test_a_slow_consumer_holds_back_the_work() -> None:
    running = most = 0

    async def work(_: int, item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return item

    async for _ in stream(range(40), work, window=4, ordered=False):
        await asyncio.sleep(0.002)
    assert most <= 4


async def test_a_slow_source_does_not_hold_back_what_is_finished() -> None:
    more = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        await more.wait()
        yield 2

    results = stream(source(), double, window=5, ordered=True)
    assert await asyncio.wait_for(anext(results), 5) == 2
    more.set()
    assert [each async for each in results] == [4]


@pytest.mark.parametrize("ordered", [True, False])
async def test_closing_early_cancels_the_work(ordered: bool) -> None:
    cancelled: list[int] = []

    async def work(_: int, item: int) -> int:
        try:
            await asyncio.sleep(60 if item else 0)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    results = stream(itertools.count(), work, window=4, ordered=ordered)
    assert await anext(results) == 0
    await asyncio.sleep(0.01)
    await results.aclose()
    assert sorted(cancelled)[:3] == [1, 2, 3]
    assert tasks_besides_this_one() == set()


async def test_cancelling_the_consumer_cancels_the_work() -> None:
    started = asyncio.Event()

    async def work(_: int, item: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return item

    async def consume() -> None:
        async for _ in stream(range(9), work, window=3, ordered=True):
            pass

    consumer = asyncio.ensure_future(consume())
    await started.wait()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    await asyncio.sleep(0.01)
    assert tasks_besides_this_one() == set()


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_error_of_the_work_ends_the_stream(ordered: bool) -> None:
    async def work(_: int, item: int) -> int:
        if item == 2:
            raise ValueError("item 2")
        await asyncio.sleep(0)
        return item

    with pytest.raises(ValueError, match="item 2"):
        async for _ in stream(itertools.count(), work, window=3, ordered=ordered):
            pass
    assert tasks_besides_this_one() == set()


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_error_of_the_source_ends_the_stream(ordered: bool) -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        async for _ in stream(source(), double, window=5, ordered=ordered):
            pass
    assert tasks_besides_this_one() == set()
