"""A node that is driven by frames, whatever carries them: all but the transport."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from typing import Any

from executor.api.base import ExecutorInfo
from executor.api.local import ExecutorStats
from executor.errors import ExecutorClosed
from executor.fleet.frames import Channel, Frame
from executor.fleet.messages import work_bytes
from executor.fleet.router import NodeLost
from executor.fleet.telling import read_error, read_info, read_stats
from executor.fleet.work import RESULTS, Kind, Work, decode


class FramedNode(ABC):
    """An executor elsewhere; a :class:`executor.fleet.router.Node`.

    A subclass starts what is at the other end, and tells of what comes from there by :meth:`_take`
    and :meth:`_lost`.
    """

    _channel: Channel

    def __init__(self, name: str) -> None:
        self.name = name
        self.weight = 1
        self.info: ExecutorInfo
        self.stats: ExecutorStats | None = None
        self.gone = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending: dict[int, tuple[Kind, asyncio.Future[Any]]] = {}
        self._numbers = itertools.count()
        self._closing = False

    @abstractmethod
    async def start(self) -> None:
        """Start it, and return when its executor is open. Raises what that raises, or
        :class:`NodeLost`."""

    async def close(self) -> None:
        """End it. Safe to call twice."""
        self._closing = True
        self._channel.close()
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # now it is seen

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Begin an item."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.gone.is_set():
            future.set_exception(self._loss())
            return future
        number = next(self._numbers)
        self._pending[number] = (work.kind, future)
        future.add_done_callback(lambda done: self._done(number, done))
        self._channel.send(Frame.WORK, work_bytes(number, work))
        return future

    def _done(self, number: int, future: asyncio.Future[Any]) -> None:
        if self._pending.pop(number, None) is not None and future.cancelled():
            self._channel.send(Frame.CANCEL, b"%d" % number)

    def _take(self, kind: Frame, body: bytes) -> None:
        if kind in (Frame.RESULT, Frame.ERROR):
            self._answer(kind, body)
        elif kind is Frame.STATS:
            self.stats = read_stats(body)
        elif kind is Frame.READY:
            self.info, _ = read_info(body)
            self.weight = self.info.workers
            if not self._ready.done():
                self._ready.set_result(None)
        elif kind is Frame.FAILED and not self._ready.done():
            self._ready.set_exception(read_error(body))

    def _answer(self, kind: Frame, body: bytes) -> None:
        number, _, told = body.partition(b" ")
        what, future = self._pending.get(int(number), (None, None))
        if what is None or future is None or future.done():
            return
        if kind is Frame.ERROR:
            future.set_exception(read_error(told))
        else:
            future.set_result(decode(RESULTS[what], told))

    def _lost(self) -> None:
        self.gone.set()
        if not self._ready.done():
            self._ready.set_exception(self._loss())
            if self._closing:
                self._ready.exception()  # nobody waits for it any more
        for _, future in list(self._pending.values()):
            if not future.done():
                future.set_exception(self._loss())

    def _loss(self) -> Exception:
        if self._closing:
            return ExecutorClosed("the executor was closed")
        return NodeLost(f"{self.name} has died")
