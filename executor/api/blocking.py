"""The same API for code that is not asynchronous."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from executor.api.base import ExecutorInfo
from executor.api.local import Executor, ExecutorStats
from executor.api.loop_thread import LoopThread
from executor.api.protocol import ExecutorProtocol
from executor.backends.settings import BackendSettings
from executor.errors import ExecutorClosed
from executor.models import (
    JUDGE_RULES,
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Rules,
    Script,
    ScriptResult,
    Triplet,
    Verdict,
)
from executor.store.settings import StoreSettings


class Blocking[E: ExecutorProtocol]:
    """An asynchronous executor behind blocking calls; may be used from several threads.

    An event loop runs in a thread of its own while the context is open. Arguments, errors and
    results are those of the executor.
    """

    def __init__(self, executor: E) -> None:
        self._executor = executor
        self._thread: LoopThread | None = None

    def __enter__(self) -> Self:
        self._thread = LoopThread()
        try:
            self._call(self._executor.__aenter__())
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything. Safe to call twice, and from another thread than the calls it ends."""
        try:
            with suppress(ExecutorClosed):  # it is what is wanted
                self._call(self._executor.close())
        finally:
            self._end_thread()

    @property
    def info(self) -> ExecutorInfo:
        """Facts about this executor."""
        return self._executor.info

    @property
    def limits(self) -> Limits:
        """Limits of each run, and the most that :class:`Options` of a call may ask for."""
        return self._executor.limits

    def validate(self, triplet: Triplet, *, options: Options = Options()) -> Verdict:
        """See :meth:`executor.Executor.validate`."""
        return self._call(self._executor.validate(triplet, options=options))

    def judge(self, task: JudgeTask, *, options: Options = Options()) -> Judgement:
        """See :meth:`executor.Executor.judge`."""
        return self._call(self._executor.judge(task, options=options))

    def run(self, script: Script, *, limits: Limits | None = None) -> ScriptResult:
        """See :meth:`executor.Executor.run`."""
        return self._call(self._executor.run(script, limits=limits))

    def validate_many(
        self,
        triplets: Iterable[Triplet],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> Iterator[Verdict]:
        """See :meth:`executor.Executor.validate_many`. The source is read in the loop's thread."""
        return self._iterate(
            self._executor.validate_many(triplets, ordered=ordered, window=window, options=options)
        )

    def judge_many(
        self,
        tasks: Iterable[JudgeTask],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> Iterator[Judgement]:
        """See :meth:`executor.Executor.judge_many`. The source is read in the loop's thread."""
        return self._iterate(
            self._executor.judge_many(tasks, ordered=ordered, window=window, options=options)
        )

    def _call[Result](self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        thread = self._thread
        if thread is None:
            coroutine.close()
            name = type(self).__name__
            raise ExecutorClosed(f"the executor is not open: use it as 'with {name}(...)'")
        return thread.call(coroutine)

    def _iterate[Result](self, results: AsyncGenerator[Result, None]) -> Iterator[Result]:
        end = object()

        async def following() -> Result | object:
            return await anext(results, end)

        try:
            while (result := self._call(following())) is not end:
                yield result  # type: ignore[misc]
        finally:
            if self._thread is not None:
                self._call(_close(results))

    def _end_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()


async def _close(results: AsyncGenerator[Any, None]) -> None:
    await results.aclose()


class SyncExecutor(Blocking[Executor]):
    """:class:`executor.Executor` behind blocking calls; may be used from several threads.

    An event loop runs in a thread of its own while the context is open. Arguments, errors and
    results are those of :class:`executor.Executor`.
    """

    def __init__(
        self,
        backend: str | BackendSettings = "nsjail",
        *,
        workers: int | None = None,
        limits: Limits = Limits(),
        rules: Rules = Rules(),
        judge_rules: Rules = JUDGE_RULES,
        runs: int = 2,
        cache: bool = True,
        store: str | StoreSettings | None = None,
        libraries: str | None = None,
    ) -> None:
        executor = Executor(
            backend,
            workers=workers,
            limits=limits,
            rules=rules,
            judge_rules=judge_rules,
            runs=runs,
            cache=cache,
            store=store,
            libraries=libraries,
        )
        super().__init__(executor)

    def stats(self) -> ExecutorStats:
        """Counts of the present moment, for monitoring."""
        return self._executor.stats()
