"""An executor whose items are done by the nodes of a router."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from functools import partial
from typing import Any, Self

from executor.api.base import Closing, ExecutorInfo
from executor.api.streaming import ITEMS_PER_WORKER, stream
from executor.errors import BackendUnavailable, ExecutorClosed, ExecutorError
from executor.fleet.router import Exhausted, Node, Router
from executor.fleet.work import Work
from executor.models import (
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Script,
    ScriptResult,
    Triplet,
    Verdict,
)
from executor.pool.priority import yielding_s
from executor.tasks import end_all
from executor.verification.failures import failed_judgement, failed_verdict


class RoutedExecutor(Closing):
    """The methods of :class:`executor.Executor`, over a router. Who has the nodes opens and closes
    them in :meth:`_start` and :meth:`_end`."""

    def __init__(self, router: Router, limits: Limits) -> None:
        self._router = router
        self._limits = limits
        self._open = False
        self._watch: asyncio.Task[None] | None = None

    async def _start(self) -> None:
        """Have nodes."""
        raise NotImplementedError

    async def _end(self) -> None:
        """Let them go."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self._start()
        self._watch = asyncio.create_task(self._router.watch())
        self._open = True
        return self

    async def close(self) -> None:
        """End all nodes. Calls in flight get :class:`ExecutorClosed`. Safe to call twice."""
        self._open = False
        self._router.close()
        watch, self._watch = self._watch, None
        await end_all([watch] if watch is not None else [])
        await self._end()

    @property
    def info(self) -> ExecutorInfo:
        """What the nodes are, together."""
        raise NotImplementedError

    @property
    def members(self) -> list[Node]:
        """The nodes that get work now."""
        return self._router.nodes

    @property
    def repeated(self) -> int:
        """Items that were begun again because their node was lost."""
        return self._router.repeated

    @property
    def copied(self) -> int:
        """Items that were given to a second node because the first one was slow."""
        return self._router.copied

    @property
    def limits(self) -> Limits:
        """What each run may use, and the most that :class:`Options` of a call may ask for."""
        return self._limits

    async def validate(self, triplet: Triplet, *, options: Options = Options()) -> Verdict:
        """See :meth:`executor.Executor.validate`."""
        return await self._validate(0, triplet, options)

    async def judge(self, task: JudgeTask, *, options: Options = Options()) -> Judgement:
        """See :meth:`executor.Executor.judge`."""
        return await self._judge(0, task, options)

    async def run(self, script: Script, *, limits: Limits | None = None) -> ScriptResult:
        """See :meth:`executor.Executor.run`.

        A script whose node is lost is run again elsewhere: what it did is gone with its sandbox.

        Raises:
            BackendUnavailable: it was lost with several nodes.
        """
        if limits is not None:
            limits.within(self._limits)
        try:
            result: ScriptResult = await self._do(Work("run", script, limits))
        except Exhausted as error:
            raise BackendUnavailable(f"the script could not be run: {error}") from None
        return result

    def validate_many(
        self,
        triplets: Iterable[Triplet] | AsyncIterable[Triplet],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[Verdict, None]:
        """See :meth:`executor.Executor.validate_many`."""
        work = partial(self._validate, options=options)
        return stream(triplets, work, window=window or self._window(), ordered=ordered)

    def judge_many(
        self,
        tasks: Iterable[JudgeTask] | AsyncIterable[JudgeTask],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[Judgement, None]:
        """See :meth:`executor.Executor.judge_many`."""
        work = partial(self._judge, options=options)
        return stream(tasks, work, window=window or self._window(), ordered=ordered)

    def _window(self) -> int:
        return 2 * ITEMS_PER_WORKER * self.info.workers

    async def _validate(self, index: int, triplet: Triplet, options: Options) -> Verdict:
        self._check(options)
        try:
            verdict: Verdict = await self._do(Work("validate", triplet, options, yielding_s()))
        except Exhausted as error:
            return failed_verdict(index, triplet, error)
        return verdict.model_copy(update={"index": index}) if index else verdict

    async def _judge(self, index: int, task: JudgeTask, options: Options) -> Judgement:
        self._check(options)
        try:
            judgement: Judgement = await self._do(Work("judge", task, options, yielding_s()))
        except Exhausted as error:
            return failed_judgement(index, task, error)
        return judgement.model_copy(update={"index": index}) if index else judgement

    async def _do(self, work: Work) -> Any:
        if not self._open:
            name = type(self).__name__
            raise ExecutorClosed(f"the executor is not open: use it as 'async with {name}(...)'")
        try:
            return await self._router.do(work)
        except ExecutorError:
            if not self._open:
                raise ExecutorClosed("the executor was closed") from None
            raise

    def _check(self, options: Options) -> None:
        if options.limits is not None:
            options.limits.within(self._limits)


def one_info(known: list[ExecutorInfo]) -> ExecutorInfo:
    """What several executors of one kind are together."""
    warnings = Counter(warning for info in known for warning in info.warnings)
    return known[0]._replace(
        isolated=all(info.isolated for info in known),
        workers=sum(info.workers for info in known),
        warnings=tuple(warnings),
        process_reuse="reset" if all(i.process_reuse == "reset" for i in known) else "fork",
    )
