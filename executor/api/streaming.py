"""Streaming many items through an asynchronous function: bounded, cancellable, in either order."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
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


class Window[Result]:
    """The items of a stream that are in hand: waiting, running, or finished and held back.

    Whoever starts items calls :meth:`enter` for each and :meth:`room` before the next one; whoever
    finishes them calls :meth:`finish`. :meth:`results` yields what was finished.
    """

    def __init__(self, size: int, *, ordered: bool) -> None:
        self._size = size
        self._ordered = ordered
        self._in_hand = 0
        self._finished: dict[int, Result] = {}
        self._failure: BaseException | None = None
        self._progress = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return self._in_hand >= self._size

    def enter(self) -> None:
        """One more item is in hand."""
        self._in_hand += 1

    async def room(self, places: int = 1) -> None:
        """Wait until so many more items may enter."""
        while self._in_hand > self._size - places:
            self._room.clear()
            await self._room.wait()

    def finish(self, index: int, result: Result) -> None:
        """The item with that index, counted from 0, has this result."""
        self._finished[index] = result
        self._progress.set()

    def fail(self, error: BaseException) -> None:
        """End the stream with this error, after the results that can be yielded now."""
        self._failure = self._failure or error
        self._progress.set()

    async def results(self, feeder: asyncio.Task[None]) -> AsyncGenerator[Result, None]:
        """Yield results until the task that starts items has ended and none is in hand.

        An exception of that task ends the stream.
        """
        # The feeder is a task of its own: a slow source must not hold back what is finished.
        feeder.add_done_callback(lambda _: self._progress.set())
        yielded = 0
        while True:
            self._progress.clear()
            ready = self._ready(yielded)
            for index in ready:
                yielded += 1
                result = self._finished.pop(index)
                self._in_hand -= 1
                self._room.set()
                yield result
            if ready:
                continue
            if self._failure is not None:
                raise self._failure
            if feeder.done():
                feeder.result()
                if not self._in_hand:
                    return
            await self._progress.wait()

    def _ready(self, first: int) -> list[int]:
        """Indices of the results to yield next; in order: those from the first one on."""
        if not self._ordered:
            return list(self._finished)
        last = first
        while last in self._finished:
            last += 1
        return list(range(first, last))


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
    in_hand: Window[asyncio.Task[Result]] = Window(window, ordered=ordered)

    def start(index: int, item: Item) -> None:
        async def numbered() -> Result:
            return await work(index, item)

        def note(task: asyncio.Task[Result]) -> None:
            running.discard(task)
            in_hand.finish(index, task)

        task = asyncio.get_running_loop().create_task(numbered())
        running.add(task)
        task.add_done_callback(note)

    async def feed() -> None:
        async with aclosing(each(source)) as items:
            index = 0
            async for item in items:
                in_hand.enter()
                start(index, item)
                index += 1
                await in_hand.room()

    feeder = asyncio.get_running_loop().create_task(feed())
    try:
        async with aclosing(in_hand.results(feeder)) as finished:
            async for task in finished:
                yield task.result()
    finally:
        await end_all([feeder, *running])
