"""An executor that does what frames say, whatever carries them; the other half of a node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from pydantic import BaseModel

from executor.api.protocol import ObservedExecutor
from executor.errors import ExecutorError
from executor.fleet.frames import Frame
from executor.fleet.messages import ExecutorSettings, number_of, read_work
from executor.fleet.telling import error_bytes, info_bytes, stats_bytes
from executor.fleet.work import Kind, encode
from executor.lru import Lru
from executor.models import JudgeTask, Limits, Options, Script, Triplet
from executor.pool.priority import priority
from executor.verification.failures import failed_judgement, failed_verdict

_STATS_EVERY_S = 0.5
_REMEMBERED = 64


class Serving:
    """One executor, and the items that it has in hand.

    Args:
        send: Carries a frame to the other end.
        make: The executor of the settings that come first.
    """

    def __init__(
        self,
        send: Callable[[Frame, bytes], None],
        make: Callable[[ExecutorSettings], ObservedExecutor],
    ) -> None:
        self._send = send
        self._make = make
        self._settings: asyncio.Future[ExecutorSettings] = (
            asyncio.get_running_loop().create_future()
        )
        self._gone = asyncio.Event()
        self._executor: ObservedExecutor | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._known: Lru[bytes, BaseModel] = Lru(_REMEMBERED)

    async def run(self) -> None:
        """The whole life: until there can be no executor, or :meth:`end` is called."""
        async with AsyncExitStack() as stack:
            settings = await self._until_gone(self._settings)
            if settings is None:
                return
            try:
                self._executor = await stack.enter_async_context(self._make(settings))
            except ExecutorError as error:
                self._send(Frame.FAILED, error_bytes(error))
                return
            executor = self._executor
            self._send(Frame.READY, info_bytes(executor.info, executor.limits))
            await self._report(executor)

    async def _until_gone[R](self, future: asyncio.Future[R]) -> R | None:
        gone = asyncio.ensure_future(self._gone.wait())
        either: list[asyncio.Future[Any]] = [future, gone]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        return future.result() if future.done() else None

    async def _report(self, executor: ObservedExecutor) -> None:
        """Tell of what it does, whenever that has changed, until the other end is gone."""
        told = b""
        while not self._gone.is_set():
            now = stats_bytes(executor.stats())
            if now != told:
                self._send(Frame.STATS, now)
                told = now
            try:
                async with asyncio.timeout(_STATS_EVERY_S):
                    await self._gone.wait()
            except TimeoutError:
                continue

    def end(self) -> None:
        """The other end is gone: nobody wants what is in hand."""
        self._gone.set()
        for task in self._tasks.values():
            task.cancel()

    def take(self, kind: Frame, body: bytes) -> None:
        """Do what a frame says."""
        if kind is Frame.WORK:
            try:
                number, what, settings, yields_s, item = read_work(body, self._known)
            except ValueError as error:
                told = error_bytes(ExecutorError(f"an item cannot be read: {type(error).__name__}"))
                self._send(Frame.ERROR, b"%d " % number_of(body) + told)
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
            self._send(Frame.RESULT, head + encode(result))
        except ExecutorError as error:
            self._send(Frame.ERROR, head + error_bytes(error))

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
    executor: ObservedExecutor, kind: Kind, settings: Options | Limits | None, item: Any
) -> Awaitable[BaseModel]:
    if kind == "run":
        assert isinstance(item, Script)
        assert not isinstance(settings, Options)
        return executor.run(item, limits=settings)
    assert isinstance(settings, Options)
    if kind == "validate":
        return executor.validate(item, options=settings)
    return executor.judge(item, options=settings)
