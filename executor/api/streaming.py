"""Streaming many items through an asynchronous function: bounded, cancellable, in either order."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Container,
    Iterable,
)
from contextlib import aclosing

from executor.tasks import end_all

ITEMS_PER_WORKER = 24
"""Items of a batch in hand per worker: enough to keep the pipes of its guests full."""


async def each[Item](
    source: Iterable[Item] | AsyncIterable[Item],
) -> AsyncGenerator[Item, None]:
    """The items of a source of either kind."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


async def stream[Item, Result](
    source: Iterable[Item] | AsyncIterable[Item],
    work: Callable[[int, Item], Awaitable[Result]],
    *,
    window: int,
    ordered: bool,
) -> AsyncGenerator[Result, None]:
    """Yield ``work(index, item)`` for each item of a source that may be endless.

    At most ``window`` items are in hand at a time, be they waiting, running or (``ordered``)
    finished and held back by an earlier one; the source is not read further than that. An exception
    of the source or of ``work`` ends the stream; ending it early cancels what is running.
    """
    running: set[asyncio.Task[Result]] = set()
    finished: dict[int, asyncio.Task[Result]] = {}
    progress = asyncio.Event()
    room = asyncio.Event()

    def start(index: int, item: Item) -> None:
        async def numbered() -> Result:
            return await work(index, item)

        def note(task: asyncio.Task[Result]) -> None:
            running.discard(task)
            finished[index] = task
            progress.set()

        task = asyncio.get_running_loop().create_task(numbered())
        running.add(task)
        task.add_done_callback(note)

    async def feed() -> None:
        async with aclosing(each(source)) as items:
            index = 0
            async for item in items:
                start(index, item)
                index += 1
                while len(running) + len(finished) >= window:
                    room.clear()
                    await room.wait()

    # A task of its own: a source that is slow must not hold back what is finished.
    feeder = asyncio.get_running_loop().create_task(feed())
    feeder.add_done_callback(lambda _: progress.set())
    yielded = 0
    try:
        while True:
            progress.clear()
            ready = consecutive(finished, yielded) if ordered else list(finished)
            for index in ready:
                yielded += 1
                result = finished.pop(index).result()
                room.set()
                yield result
            if ready:
                continue
            if feeder.done():
                feeder.result()
                if not running and not finished:
                    return
            await progress.wait()
    finally:
        await end_all([feeder, *running])


def consecutive(held: Container[int], first: int) -> range:
    """The numbers from ``first`` on that are held, up to the first one that is not."""
    last = first
    while last in held:
        last += 1
    return range(first, last)
