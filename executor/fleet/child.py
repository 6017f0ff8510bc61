"""A process of a fleet: one executor, and a connection to the process that gives it items.

    python -m executor.fleet.child DESCRIPTOR CORE,CORE,...

It ends when the connection does, however that comes about.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

from pydantic import BaseModel

from executor.api.local import Executor
from executor.errors import ExecutorError
from executor.fleet.frames import Connection, Frame
from executor.fleet.messages import ExecutorSettings, number_of, read_work
from executor.fleet.telling import error_bytes, info_bytes, stats_bytes
from executor.fleet.work import Kind, encode
from executor.lru import Lru
from executor.models import JudgeTask, Limits, Options, Script, Triplet
from executor.pool.priority import priority
from executor.verification.failures import failed_judgement, failed_verdict

_STATS_EVERY_S = 0.5
_END_WITHIN_S = 20.0
_REMEMBERED = 64


class Child:
    """The executor of this process, driven by frames."""

    def __init__(self) -> None:
        self._connection = Connection(self._take, self._lost)
        self._settings: asyncio.Future[ExecutorSettings] = (
            asyncio.get_running_loop().create_future()
        )
        self._gone = asyncio.Event()
        self._executor: Executor | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._known: Lru[bytes, BaseModel] = Lru(_REMEMBERED)

    async def run(self, stream: socket.socket) -> None:
        """The whole life."""
        await asyncio.get_running_loop().create_unix_connection(
            lambda: self._connection, sock=stream
        )
        async with AsyncExitStack() as stack:
            settings = await self._until_gone(self._settings)
            if settings is None:
                return
            try:
                self._executor = await stack.enter_async_context(settings.make())
            except ExecutorError as error:
                self._connection.send(Frame.FAILED, error_bytes(error))
                self._connection.close()
                return
            executor = self._executor
            self._connection.send(Frame.READY, info_bytes(executor.info, executor.limits))
            await self._report(executor)

    async def _until_gone[R](self, future: asyncio.Future[R]) -> R | None:
        gone = asyncio.ensure_future(self._gone.wait())
        either: list[asyncio.Future[Any]] = [future, gone]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        return future.result() if future.done() else None

    async def _report(self, executor: Executor) -> None:
        """Tell of what it does, whenever that has changed, until the other end is gone."""
        told = b""
        while not self._gone.is_set():
            now = stats_bytes(executor.stats())
            if now != told:
                self._connection.send(Frame.STATS, now)
                told = now
            try:
                async with asyncio.timeout(_STATS_EVERY_S):
                    await self._gone.wait()
            except TimeoutError:
                continue

    def _lost(self) -> None:
        self._gone.set()
        for task in self._tasks.values():
            task.cancel()

    def _take(self, kind: Frame, body: bytes) -> None:
        if kind is Frame.WORK:
            try:
                number, what, settings, yields_s, item = read_work(body, self._known)
            except ValueError as error:
                told = error_bytes(ExecutorError(f"an item cannot be read: {type(error).__name__}"))
                self._connection.send(Frame.ERROR, b"%d " % number_of(body) + told)
                return
            task = asyncio.create_task(self._serve(number, what, settings, yields_s, item))
            self._tasks[number] = task
            task.add_done_callback(lambda _: self._tasks.pop(number, None))
        elif kind is Frame.CANCEL:
            if (running := self._tasks.get(int(body))) is not None:
                running.cancel()
        elif kind is Frame.SETTINGS:
            self._settings.set_result(ExecutorSettings.model_validate_json(body))

    async def _serve(
        self, number: int, kind: Kind, settings: Any, yields_s: float, item: Any
    ) -> None:
        head = b"%d " % number
        try:
            with priority(yields_s=yields_s):
                result = await self._result(kind, settings, item)
            self._connection.send(Frame.RESULT, head + encode(result))
        except ExecutorError as error:
            self._connection.send(Frame.ERROR, head + error_bytes(error))

    async def _result(self, kind: Kind, settings: Any, item: Any) -> BaseModel:
        executor = self._executor
        assert executor is not None
        try:
            return await _calls(executor, kind, settings, item)
        except ExecutorError:
            raise
        except Exception as error:
            if isinstance(item, Triplet):
                return failed_verdict(0, item, error)
            if isinstance(item, JudgeTask):
                return failed_judgement(0, item, error)
            raise ExecutorError(f"the platform failed: {type(error).__name__}") from error


def _calls(
    executor: Executor, kind: Kind, settings: Options | Limits | None, item: Any
) -> Awaitable[BaseModel]:
    if kind == "run":
        assert isinstance(item, Script)
        assert not isinstance(settings, Options)
        return executor.run(item, limits=settings)
    assert isinstance(settings, Options)
    if kind == "validate":
        return executor.validate(item, options=settings)
    return executor.judge(item, options=settings)


def _end_with(descriptor: int) -> None:
    """End this process some time after the other end is gone, even if its event loop hangs."""
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    poll.poll()
    time.sleep(_END_WITHIN_S)
    os._exit(1)


def _ignore(_number: int, _frame: object) -> None:
    pass


def main() -> None:
    """The process."""
    # Who has started it decides when it ends: by the connection. (Handlers, not SIG_IGN: what is
    # ignored would be so in guests, too.)
    signal.signal(signal.SIGINT, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    os.sched_setaffinity(0, {int(core) for core in sys.argv[2].split(",")})
    stream = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_end_with, args=(os.dup(stream.fileno()),), daemon=True).start()

    async def live() -> None:
        await Child().run(stream)

    try:
        import uvloop  # noqa: PLC0415 - of the extra for the service
    except ImportError:
        asyncio.run(live())
    else:
        uvloop.run(live())


if __name__ == "__main__":
    main()
