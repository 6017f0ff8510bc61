"""The loop that ``verify`` and ``judge`` share: rows in, results out, in row order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from executor.cli.io.reorder import Reorder
from executor.cli.io.rows import Fields, Row
from executor.cli.io.sink import Sink
from executor.cli.io.source import Line, Source
from executor.errors import MalformedRow
from executor.models import Judgement, Signals, Usage

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False).encode


class Indexed(Protocol):
    """A result that knows its place in the batch it was made in."""

    @property
    def index(self) -> int:
        """Position in the batch, from 0."""
        ...


class Job[T, R: Indexed](Protocol):
    """The part of a batch that each command does in its own way."""

    def read(self, line: Line, index: int) -> Row[T]:
        """The row of one line."""
        ...

    def results(self, items: AsyncIterator[T]) -> AsyncGenerator[R]:
        """The results of ``items``, as they finish."""
        ...

    def finished(self, row: Row[T], result: R) -> Fields:
        """Count the result; returns its fields, those of the row's head excepted."""
        ...

    def malformed(self, row: Row[T], error: MalformedRow) -> Fields:
        """The same for a row that could not be read."""
        ...


class Batch[T, R: Indexed]:
    """Streams one file through a job. Memory does not grow with the number of rows."""

    def __init__(
        self, job: Job[T, R], source: Source, sink: Sink, reorder: Reorder | None = None
    ) -> None:
        self._job = job
        self._source = source
        self._sink = sink
        self._reorder = Reorder() if reorder is None else reorder
        self._running: dict[int, Row[T]] = {}
        self._write_lock = asyncio.Lock()
        self._progressed = asyncio.Event()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Process every row. If cancelled, no further row is started; then call :meth:`flush`.

        Raises:
            CommandError: the input cannot be read, or the output not written.
            OutputClosed: the reader of the output has gone away.
        """
        async with aclosing(self._items()) as items, aclosing(self._job.results(items)) as results:
            async for result in results:
                row = self._running.pop(result.index)
                await self._emit(row, self._job.finished(row, result))
        if self._failure is not None:
            raise self._failure

    async def flush(self) -> None:
        """Write the finished rows that were still waiting for an earlier one."""
        async with self._write_lock:
            await self._sink.write(self._reorder.take_all())

    async def _items(self) -> AsyncGenerator[T]:
        try:
            async for item in self._well_formed():
                yield item
        except Exception as error:
            # It must not pass through the executor, which would take it for its own.
            self._failure = error

    async def _well_formed(self) -> AsyncGenerator[T]:
        """The rows that can be run, no further ahead than the reorder buffer allows."""
        index = 0
        started = 0
        async for line in self._source.lines():
            if line.blank:
                continue
            await self._room(index)
            row = self._job.read(line, index)
            index += 1
            if isinstance(row.item, MalformedRow):
                await self._emit(row, self._job.malformed(row, row.item))
            else:
                self._running[started] = row
                started += 1
                yield row.item

    async def _room(self, index: int) -> None:
        while self._reorder.full(index):
            self._progressed.clear()
            await self._progressed.wait()

    async def _emit(self, row: Row[T], result: Fields) -> None:
        fields = {**row.head, **result, **row.carried}
        self._reorder.put(row.index, _encode(fields).encode("ascii") + b"\n")
        async with self._write_lock:
            if ready := self._reorder.take_ready():
                await self._sink.write(ready)
                self._progressed.set()


def disagreement_fields(result: object) -> Fields:
    """The field about disagreement; empty if nothing was compared."""
    if not hasattr(result, "disagreement"):
        return {}
    return {"disagreement": result.disagreement}


def test_fields(result: Judgement) -> Fields:
    """The fields of programs that were judged by tests."""
    names = {name for name in ("counts", "cases", "weak") if getattr(result, name)}
    return result.model_dump(mode="json", include=names) if names else {}


def signal_fields(signals: Signals) -> Fields:
    """The signs of cheating, if there are any."""
    return {"signals": signals} if signals else {}


def weakness_fields(weaknesses: tuple[str, ...]) -> Fields:
    """The weaknesses of the service that did the work, if there are any."""
    return {"weaknesses": weaknesses} if weaknesses else {}


def usage_fields(usage: Usage) -> Fields:
    """The accounting of a run, as JSON has it."""
    return {
        "wall_ms": usage.wall_ms,
        "cpu_ms": usage.cpu_ms,
        "peak_memory_kib": usage.peak_memory_kib,
    }
