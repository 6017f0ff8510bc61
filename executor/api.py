"""The asynchronous Python API."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from types import TracebackType
from typing import NamedTuple, Self

from executor.backends import open_backend
from executor.batch import stream
from executor.errors import ConfigurationError, ExecutorClosed
from executor.interpreter import INTERPRETER
from executor.models import (
    JUDGE_RULES,
    Judgement,
    JudgeTask,
    Limits,
    Rules,
    Script,
    ScriptResult,
    Triplet,
    Verdict,
)
from executor.pool.pool import Pool
from executor.pool.runner import PoolEngine
from executor.pool.worker import arrival
from executor.verification.context import Context
from executor.verification.judging import Judge
from executor.verification.validation import Proven, ResultCache, Validator

_ITEMS_PER_WORKER = 24
"""Items of a batch in hand per worker: enough to keep the pipes of its guests full."""


class ExecutorInfo(NamedTuple):
    """What an open executor is."""

    backend: str
    interpreter: str
    isolated: bool
    workers: int
    warnings: tuple[str, ...]
    """Weaknesses on this host, for people."""


class Executor:
    """Validates triplets, judges answers and runs scripts in warm sandboxes.

    Use it as an asynchronous context manager, on one event loop. All methods may be called
    concurrently. Cancelling a call frees what it uses; after the context nothing is left running.

    Args:
        backend: ``nsjail``, or ``process`` (no isolation: for trusted code only).
        workers: Places of warm guests; by default two for each processor core this process may
            use. At least two are made: a validation needs two that differ.
        limits: What each run may use.
        rules: Screening of the programs that are validated.
        judge_rules: Screening of the programs of tasks and of solvers; by default none is banned.
        runs: Fresh processes that a triplet is validated in; at least 2.
        cache: Whether proven-deterministic results are remembered (in memory, bounded).

    Raises:
        ConfigurationError: from the constructor; :class:`UnknownBackend` among others.
        BackendUnavailable: on entering, if this machine cannot run the backend.
        ExecutorClosed: from methods, outside the context.
    """

    def __init__(
        self,
        backend: str = "nsjail",
        *,
        workers: int | None = None,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        rules: Rules = Rules(),  # noqa: B008
        judge_rules: Rules = JUDGE_RULES,
        runs: int = 2,
        cache: bool = True,
    ) -> None:
        if workers is not None and workers < 1:
            raise ConfigurationError(f"workers must be at least 1, not {workers}")
        if runs < 2:
            raise ConfigurationError(f"a validation takes at least 2 runs, not {runs}")
        self._limits = limits
        self._backend = open_backend(backend, limits)
        size = workers if workers is not None else 2 * len(os.sched_getaffinity(0))
        self._pool = Pool(self._backend, size)
        engine = PoolEngine(self._pool, limits)
        proven = Proven()

        def validator(screening: Rules) -> Validator:
            context = Context(limits, screening, backend=self._backend.name)
            remembered = ResultCache() if cache else None
            return Validator(engine, context, runs=runs, cache=remembered, proven=proven)

        self._validator = validator(rules)
        self._judge = Judge(engine, validator(judge_rules))
        self._script_places = asyncio.Semaphore(size)
        self._scripts: set[asyncio.Future[ScriptResult]] = set()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._pool.open()
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all guests. Calls in flight get :class:`ExecutorClosed`. Safe to call twice."""
        if self._open:
            self._open = False
            for script in list(self._scripts):
                script.cancel()
            await asyncio.gather(*self._scripts, return_exceptions=True)
            await self._pool.close()

    @property
    def info(self) -> ExecutorInfo:
        """What this executor is; warnings are known once it is open."""
        backend = self._backend
        return ExecutorInfo(
            backend.name, INTERPRETER, backend.isolated, self._pool.size, backend.warnings
        )

    @property
    def pool(self) -> Pool:
        """The pool of warm guests, for monitoring."""
        return self._pool

    async def validate(self, triplet: Triplet) -> Verdict:
        """Decide whether a triplet is a sound task."""
        return await self._validate(0, triplet)

    async def judge(self, task: JudgeTask) -> Judgement:
        """Score the answers of a task."""
        return await self._judge_task(0, task)

    async def run(self, script: Script) -> ScriptResult:
        """Run a general script once, in a fresh sandbox with a writable directory.

        At most ``workers`` scripts run at a time; others wait.
        """
        self._check_open()
        running = asyncio.ensure_future(self._run_script(script))
        self._scripts.add(running)
        try:
            return await running
        except asyncio.CancelledError:
            if self._open:
                raise
            raise ExecutorClosed("the executor was closed") from None
        finally:
            self._scripts.discard(running)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _run_script(self, script: Script) -> ScriptResult:
        async with self._script_places:
            return await self._backend.run_script(script, self._limits)

    def validate_many(
        self,
        triplets: Iterable[Triplet] | AsyncIterable[Triplet],
        *,
        ordered: bool = True,
        window: int | None = None,
    ) -> AsyncGenerator[Verdict, None]:
        """Validate a stream of triplets; each verdict's ``index`` is its position.

        The source is read only as far as ``window`` items are in hand, so it may be endless.
        ``ordered=False`` yields verdicts as they finish. Closing the generator cancels the rest.
        """
        return stream(triplets, self._validate, window=window or self._window(), ordered=ordered)

    def judge_many(
        self,
        tasks: Iterable[JudgeTask] | AsyncIterable[JudgeTask],
        *,
        ordered: bool = True,
        window: int | None = None,
    ) -> AsyncGenerator[Judgement, None]:
        """Judge a stream of tasks; like :meth:`validate_many`."""
        return stream(tasks, self._judge_task, window=window or self._window(), ordered=ordered)

    def _window(self) -> int:
        return _ITEMS_PER_WORKER * self._pool.size

    async def _validate(self, index: int, triplet: Triplet) -> Verdict:
        self._check_open()
        arrival.set(time.monotonic())
        return await self._validator.validate(triplet, index)

    async def _judge_task(self, index: int, task: JudgeTask) -> Judgement:
        self._check_open()
        arrival.set(time.monotonic())
        return await self._judge.judge(task, index)

    def _check_open(self) -> None:
        if not self._open:
            raise ExecutorClosed("the executor is not open: use it as 'async with Executor(...)'")
