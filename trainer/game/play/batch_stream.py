"""A batch method of the executor, fed item by item; an executor that is gone is waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from typing import Any, Protocol

from executor import (
    ConfigurationError,
    ExecutorClosed,
    ExecutorError,
    InputError,
    Judgement,
    JudgeTask,
    Options,
    Triplet,
    Verdict,
)
from trainer.game.errors import ExecutorLost

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 15.0


class Verifier(Protocol):
    """The methods of :class:`executor.Executor` that are used."""

    async def __aenter__(self) -> Any:
        """Open it."""

    async def close(self) -> None:
        """End it."""

    def validate_many(
        self,
        triplets: AsyncIterable[Triplet],
        *,
        ordered: bool,
        options: Options,
    ) -> AsyncGenerator[Verdict, None]:
        """Validate a stream of triplets."""
        ...

    def judge_many(
        self,
        tasks: AsyncIterable[JudgeTask],
        *,
        ordered: bool,
        options: Options,
    ) -> AsyncGenerator[Judgement, None]:
        """Judge a stream of answers."""
        ...


class BatchStream[Item: (Triplet, JudgeTask), Result: (Verdict, Judgement)]:
    """A batch method of an executor that items are fed to one by one, for as long as it lives."""

    def __init__(
        self,
        open_batch: Callable[[AsyncIterable[Item]], AsyncGenerator[Result, None]],
        patience_s: float,
    ) -> None:
        self._open_batch: Callable[[AsyncIterable[Item]], AsyncGenerator[Result, None]] = open_batch
        self._patience_s = patience_s
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._waiting: dict[int, tuple[Item, asyncio.Future[Result]]] = {}
        self._next = 0
        self._retries = 0
        self._lost: ExecutorLost | None = None
        self._server: asyncio.Task[None] | None = None

    async def result(self, item: Item) -> Result:
        """The result of an item."""
        number, self._next = self._next, self._next + 1
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        marked = item.model_copy(update={"id": number})
        self._waiting[number] = (marked, future)
        self._queue.put_nowait(marked)
        if self._server is None or self._server.done():
            self._server = asyncio.get_running_loop().create_task(self._serve())
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def take_retries(self) -> int:
        """Retries since the last call."""
        taken, self._retries = self._retries, 0
        return taken

    async def close(self) -> None:
        """End the batch."""
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)

    async def _serve(self) -> None:
        pause, failing_since = _FIRST_PAUSE_S, None
        while True:
            try:
                async with aclosing(self._open_batch(self._source())) as results:
                    async for result in results:
                        pause, failing_since = _FIRST_PAUSE_S, None
                        self._deliver(result)
                error: Exception = ExecutorLost("the executor ended a batch that was still open")
            except Exception as caught:
                error = caught
            now = time.monotonic()
            failing_since = failing_since if failing_since is not None else now
            if not _is_passing(error) or now - failing_since >= self._patience_s:
                self._give_up(error)
                return
            self._retries += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            self._hand_over_again()

    async def _source(self) -> AsyncGenerator[Item, None]:
        while True:
            item = await self._queue.get()
            if item.id in self._waiting:  # not cancelled meanwhile
                yield item

    def _deliver(self, result: Result) -> None:
        assert isinstance(result.id, int)
        _, future = self._waiting.get(result.id, (None, None))
        if future is not None and not future.done():
            future.set_result(result)

    def _hand_over_again(self) -> None:
        self._queue = asyncio.Queue()
        for item, future in self._waiting.values():
            if not future.done():
                self._queue.put_nowait(item)

    def _give_up(self, error: Exception) -> None:
        self._queue = asyncio.Queue()
        lost = ExecutorLost(f"the executor cannot be used: {error or type(error).__name__}")
        lost.__cause__ = error
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(lost)


def _is_passing(error: Exception) -> bool:
    """Whether it may help to try again."""
    if isinstance(error, ConfigurationError | ExecutorClosed | InputError):
        return False
    return isinstance(error, ExecutorError | ExecutorLost | OSError | TimeoutError)
