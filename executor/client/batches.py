"""A stream of items through the batch routes of a fleet: chunked, resumable, bounded.

The HTTP client sends a whole body before it reads the answer, so a stream is cut into chunks,
several of which are in flight. A chunk's results come as they are ready. Items whose result did not
arrive (the connection was cut, the service ended) are sent again: validating and judging have no
effects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import NamedTuple

from pydantic import BaseModel

from executor.api.streaming import Window, each
from executor.client.bodies import ItemKind, item_json
from executor.client.endpoint import Endpoint
from executor.client.faults import Fault
from executor.client.fleet import Fleet, Patience
from executor.client.settings import Retries
from executor.errors import ServiceUnavailable
from executor.tasks import end_all

CHUNK_ITEMS = 64
CHUNK_BYTES = 1 << 20
_PART_OF_WINDOW = 4
"""A chunk is at most this part of what may be in hand: some are filled while others are away."""
_LINGER_S = 0.003
"""Seconds that a chunk that is not full waits for more items of a source that pauses."""
_CUTS_TO_DIVIDE = 2
"""Cuts in a row after which a chunk is sent in halves."""
_CUTS_TO_GIVE_UP = 8
"""Cuts in a row after which an item that is sent alone is not sent again."""
_END = b'{"end"'


class _Entry[Item](NamedTuple):
    """An item on its way."""

    place: int
    """Position in the stream."""
    item: Item
    line: bytes


class Batches[Item: BaseModel, Result: BaseModel]:
    """One stream. Iterate :meth:`results` once."""

    def __init__(
        self,
        fleet: Fleet,
        kind: ItemKind[Item, Result],
        options: bytes,
        retries: Retries,
        *,
        window: int,
        ordered: bool,
    ) -> None:
        self._fleet = fleet
        self._kind = kind
        self._options = options
        self._retries = retries
        self._in_hand: Window[Result] = Window(window, ordered=ordered)
        self._chunk_items = max(1, min(CHUNK_ITEMS, window // _PART_OF_WINDOW))
        self._chunk: list[_Entry[Item]] = []
        self._chunk_bytes = 0
        self._linger: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def results(
        self, source: Iterable[Item] | AsyncIterable[Item]
    ) -> AsyncGenerator[Result, None]:
        """Yield the results; an exception of the source, or a refusal, ends the stream."""
        feeder = asyncio.get_running_loop().create_task(self._feed(source))
        try:
            async with aclosing(self._in_hand.results(feeder)) as results:
                async for result in results:
                    yield result
        finally:
            await self._end(feeder)

    async def _end(self, feeder: asyncio.Task[None]) -> None:
        if self._linger is not None:
            self._linger.cancel()
        await end_all([feeder, *self._sending])

    # ---- items in ------------------------------------------------------------------------------

    async def _feed(self, source: Iterable[Item] | AsyncIterable[Item]) -> None:
        async with aclosing(each(source)) as items:
            index = 0
            async for item in items:
                self._add(_Entry(index, item, item_json(item, self._options)))
                index += 1
                if self._in_hand.is_full:
                    self._send()
                    # For a whole chunk: items that are read one by one would be sent one by one.
                    await self._in_hand.room(self._chunk_items)
        self._send()

    def _add(self, entry: _Entry[Item]) -> None:
        self._in_hand.enter()
        if self._chunk_bytes + len(entry.line) > CHUNK_BYTES:
            self._send()
        self._chunk.append(entry)
        self._chunk_bytes += len(entry.line) + 1
        if len(self._chunk) >= self._chunk_items:
            self._send()
        elif self._linger is None:
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(_LINGER_S, self._send)

    def _send(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if not self._chunk:
            return
        chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
        task = asyncio.get_running_loop().create_task(self._serve(chunk))
        self._sending.add(task)
        task.add_done_callback(self._served)

    # ---- results out ---------------------------------------------------------------------------

    def _served(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._in_hand.fail(error)

    async def _serve(self, chunk: list[_Entry[Item]]) -> None:
        """Have a chunk done, by as many requests as it takes.

        What is cut off again and again without a result is sent in halves, so that an item that
        ends connections is found; alone, it is given up after some of them.
        """
        left = dict(enumerate(chunk))
        cuts = 0
        patience = Patience(self._retries)
        avoid: Endpoint | None = None
        try:
            while left:
                before = len(left)
                try:
                    async with self._fleet.endpoint(
                        "batch", len(left), patience.deadline, avoid
                    ) as endpoint:
                        avoid = endpoint
                        await self._ask(endpoint, left)
                except Fault as fault:
                    cut = fault.started and not fault.too_much and len(left) == before
                    cuts = cuts + 1 if cut else 0
                    if len(left) < before:
                        patience.progress()
                    if cuts >= _CUTS_TO_DIVIDE and len(left) > 1:
                        await self._divide(list(left.values()))
                        return
                    if cuts >= _CUTS_TO_GIVE_UP:
                        raise ServiceUnavailable(f"it ended {cuts} connections: {fault}") from None
                    await self._fleet.pause(patience.pause(fault))
        except ServiceUnavailable as error:
            for entry in left.values():
                self._note(self._kind.infra(entry.place, entry.item, f"not done: {error}"), entry)

    async def _divide(self, entries: list[_Entry[Item]]) -> None:
        middle = len(entries) // 2
        await asyncio.gather(self._serve(entries[:middle]), self._serve(entries[middle:]))

    async def _ask(self, endpoint: Endpoint, left: dict[int, _Entry[Item]]) -> None:
        """Send what is left; results are taken out of it as they arrive."""
        asked = list(left)
        answer = _Answer(self, endpoint, asked, left)
        body = b"\n".join([*(left[key].line for key in asked), b""])
        await endpoint.post_streamed(f"{self._kind.path}/batch", body, answer.take)
        if left:
            raise Fault(f"{endpoint.url}: {answer.end()}", started=True)

    def read_line(self, line: bytes, asked: list[int], left: dict[int, _Entry[Item]]) -> bool:
        """Take one line of an answer. Returns whether it is a result for one of the items."""
        try:
            position, result = self._read(line, asked, left)
        except (ValueError, LookupError, RecursionError):
            return False
        entry = left.pop(asked[position])
        self._note(result, entry)
        return True

    def _read(
        self, line: bytes, asked: list[int], left: dict[int, _Entry[Item]]
    ) -> tuple[int, Result]:
        # The item is found by a line number that must be read first; cheap, for it comes first.
        position = _line_number(line)
        entry = left[asked[position]]
        index, result = self._kind.read_line(line, entry.item)
        if index != position:
            raise ValueError("two line numbers")
        return position, result

    def _note(self, result: Result, entry: _Entry[Item]) -> None:
        self._in_hand.finish(entry.place, result.model_copy(update={"index": entry.place}))


class _Answer[Item: BaseModel, Result: BaseModel]:
    """The lines of one answer, as they come."""

    def __init__(
        self,
        batches: Batches[Item, Result],
        endpoint: Endpoint,
        asked: list[int],
        left: dict[int, _Entry[Item]],
    ) -> None:
        self._batches = batches
        self._url = endpoint.url
        self._asked = asked
        self._left = left
        self._rest: list[bytes] = []
        self._last = b""

    def take(self, data: bytes) -> None:
        """Take bytes. Raises :class:`Fault`: they are not the lines that they should be."""
        first, *lines = data.split(b"\n")
        self._rest.append(first)
        for line in lines:
            self._line(b"".join(self._rest))
            self._rest = [line]

    def _line(self, line: bytes) -> None:
        if self._last:
            raise Fault(f"{self._url}: something follows the last line", started=True)
        if line.startswith(_END):
            self._last = line
        elif line and not self._batches.read_line(line, self._asked, self._left):
            raise Fault(f"{self._url}: a line is no result", started=True)

    def end(self) -> str:
        """The reason why results are missing."""
        if self._last:
            return f"ended without all results: {self._last[:300].decode('utf-8', 'replace')}"
        return "the answer was cut off"


def _line_number(line: bytes) -> int:
    """The value of the key ``index`` of a result. Raises ``ValueError``: there is none."""
    start = line.index(b'"index":') + 8
    end = min(at for at in (line.find(b",", start), line.find(b"}", start)) if at > 0)
    number = int(line[start:end])
    if number < 0:
        raise ValueError("a negative line number")
    return number
