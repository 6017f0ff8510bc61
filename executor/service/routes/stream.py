"""Batches: JSON lines in, JSON lines out, both at the same time, in bounded memory.

The answer begins before the request has ended, so Starlette's requests and responses do not fit:
this is an ASGI application of its own. Per batch there is one task that receives, one that starts
work, one for each item in hand, and the request's own, which sends. All end with the request.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from executor.service.errors import ApiError, ClientGone, unavailable
from executor.service.http.endpoints import FACTS, GONE, to_json
from executor.service.http.reading import Unreadable, parse
from executor.service.http.state import Service
from executor.service.models import BatchEnd, BatchError
from executor.service.routes.incoming import EndOfLines, Incoming
from executor.service.work.gateway import Gateway
from executor.service.work.interruption import Interruption
from executor.service.work.tenants import current
from executor.tasks import end_all

MEDIA_TYPE = "application/x-ndjson"

_CHUNK = 1 << 18
_MAX_IN_HAND = 32 << 20
"""Bytes of lines that are worked on at a time; one line may be more."""
_YIELD_EVERY_LINES = 32
"""Lines after which others get their turn on the event loop."""
_HEADERS = [
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold lines back
]


class LineKind[M: BaseModel](NamedTuple):
    """A kind of line in a batch."""

    takes: type[M]
    work: Callable[[Gateway, M, int], Awaitable[BaseModel]]
    """Gets the line's item and index, returns the result with that index."""
    malformed: Callable[[int, str], dict[str, Any]]
    """The result of a line that cannot be read, or not be served."""
    failed: Callable[[int, M, Exception], BaseModel]
    """The result of a line that the platform failed on."""


class BatchResponse[M: BaseModel]:
    """The answer to a batch; reads the request itself."""

    def __init__(self, service: Service, kind: LineKind[M], *, ordered: bool) -> None:
        self._service = service
        self._kind = kind
        self._ordered = ordered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Work through the request. Raises :class:`ApiError` only before anything is sent."""
        with self._service.admission.batch(current()):
            # a client that waits for "100 Continue" must get it before the answer begins
            waits = any(name == b"expect" for name, _ in scope["headers"])
            first = await receive() if waits else None
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            batch = _Batch(self._service, self._kind, self._ordered, receive, send)
            try:
                await batch.run(first)
            except ClientGone:
                scope[GONE] = True
            finally:
                scope[FACTS] = {"items": batch.answered}


class _Batch[M: BaseModel]:
    def __init__(
        self, service: Service, kind: LineKind[M], ordered: bool, receive: Receive, send: Send
    ) -> None:
        self._service = service
        self._kind = kind
        self._send = send
        self._incoming = Incoming(receive, service.settings.max_line_mib << 20)
        self._running: set[asyncio.Task[None]] = set()
        self._running_bytes = 0
        self._results = _Results(ordered)
        self._progress = asyncio.Event()
        self._room = asyncio.Event()
        self._cut: ApiError | None = None
        """The reason why not all lines are worked on."""

    @property
    def answered(self) -> int:
        """Lines that have a result in the answer."""
        return self._results.released

    async def run(self, first: Message | None) -> None:
        """Receive, work and send until all is done; then send the last line."""
        try:
            with self._service.admission.request() as interruption:
                await self._run(interruption, first)
        except ApiError as error:
            self._cut = error
        while self._results.ready:
            await self._send_some()
        cut = self._cut and BatchError(code=self._cut.code, message=self._cut.message)
        end = BatchEnd(end=cut is None, items=self.answered, error=cut)
        body = end.model_dump_json(exclude_none=True).encode() + b"\n"
        await self._send({"type": "http.response.body", "body": body})

    async def _run(self, interruption: Interruption, first: Message | None) -> None:
        loop = asyncio.get_running_loop()
        feeder = loop.create_task(self._feed(interruption))
        feeder.add_done_callback(lambda _: self._progress.set())
        pump = loop.create_task(self._incoming.pump(first))
        pump.add_done_callback(
            lambda pump: None if pump.cancelled() else interruption.end(ClientGone())
        )
        drain = loop.create_task(self._stop_feeding(feeder))
        try:
            while True:
                self._progress.clear()
                if self._results.ready:
                    await self._send_some()
                elif feeder.done() and not self._running:
                    if not feeder.cancelled():
                        feeder.result()
                    return
                else:
                    await self._progress.wait()
        finally:
            await end_all([feeder, pump, drain, *self._running])

    async def _stop_feeding(self, feeder: asyncio.Task[None]) -> None:
        await self._service.admission.draining.wait()
        if feeder.cancel():
            self._cut = unavailable("the service is stopping; later lines are not read", "draining")

    async def _feed(self, interruption: Interruption) -> None:
        index = 0
        while True:
            try:
                raw = await self._next_line()
            except EndOfLines:
                return
            await self._room_for(len(raw or b""))
            self._begin(index, raw, interruption)
            index += 1
            if index % _YIELD_EVERY_LINES == 0:
                await asyncio.sleep(0)

    async def _next_line(self) -> bytes | None:
        idle_s = self._service.settings.idle_s
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    return await self._incoming.next()
            except TimeoutError:
                if not self._running:
                    raise ApiError(408, "timeout", f"no line came for {idle_s:g} s") from None

    async def _room_for(self, size: int) -> None:
        while self._results.size >= self._service.settings.unread_results_mib << 20 or (
            self._running and self._is_full(size)
        ):
            self._room.clear()
            await self._room.wait()

    def _is_full(self, size: int) -> bool:
        too_many = len(self._running) >= self._service.batch_window
        return too_many or self._running_bytes + size > _MAX_IN_HAND

    def _begin(self, index: int, raw: bytes | None, interruption: Interruption) -> None:
        """Start work on a line; returns at once."""
        try:
            if raw is None:
                raise Unreadable(f"longer than {self._service.settings.max_line_mib << 20} bytes")
            item = parse(self._kind.takes, raw)
        except Unreadable as error:
            self._refuse(index, str(error))
            return
        except Exception as error:
            self._refuse(index, f"the line cannot be read: {type(error).__name__}")
            return
        size = len(raw)
        task = asyncio.get_running_loop().create_task(self._work(index, item))
        self._running.add(task)
        self._running_bytes += size

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            self._running_bytes -= size
            self._room.set()
            self._progress.set()
            if not task.cancelled() and (error := task.exception()) is not None:
                interruption.end(error if isinstance(error, Exception) else RuntimeError("ended"))

        task.add_done_callback(ended)

    async def _work(self, index: int, item: M) -> None:
        try:
            result = await self._kind.work(self._service.gateway, item, index)
            line = to_json(result)
        except ApiError as error:
            if error.status != 422:
                raise
            self._refuse(index, error.message)
        except Exception as error:  # one line must never be the end of the others
            self._finish(index, to_json(self._kind.failed(index, item, error)) + b"\n")
        else:
            self._finish(index, line + b"\n")

    def _refuse(self, index: int, why: str) -> None:
        fields = self._kind.malformed(index, why)
        if weaknesses := self._service.waivers.weaknesses:
            fields["weaknesses"] = weaknesses
        self._finish(index, _line(fields))

    def _finish(self, index: int, line: bytes) -> None:
        self._results.add(index, line)
        self._progress.set()

    async def _send_some(self) -> None:
        """Send finished lines; they count as unread until the connection has taken them."""
        lines = self._results.peek(_CHUNK)
        await self._send({"type": "http.response.body", "body": b"".join(lines), "more_body": True})
        self._results.drop(len(lines))
        self._room.set()


class _Results:
    """Finished lines that wait to be sent."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self.ready: deque[bytes] = deque()
        """Lines to send next."""
        self._held: dict[int, bytes] = {}
        self.size = 0
        """Bytes of all lines that are here."""
        self.released = 0
        """Lines that were ready so far."""

    def add(self, index: int, line: bytes) -> None:
        """Keep the line of an index."""
        self.size += len(line)
        if not self._ordered:
            self.ready.append(line)
            self.released += 1
            return
        self._held[index] = line
        while self.released in self._held:
            self.ready.append(self._held.pop(self.released))
            self.released += 1

    def peek(self, size: int) -> list[bytes]:
        """The first lines that are ready: at least one, and about ``size`` bytes."""
        lines: list[bytes] = []
        total = 0
        for line in self.ready:
            lines.append(line)
            total += len(line)
            if total >= size:
                break
        return lines

    def drop(self, count: int) -> None:
        """Forget that many of them."""
        for _ in range(count):
            self.size -= len(self.ready.popleft())


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"
