"""The asynchronous Python API."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Self

from executor.api.base import Closing, ExecutorInfo
from executor.api.on_demand import OnDemand
from executor.api.streaming import ITEMS_PER_WORKER, stream
from executor.backends import backend_settings, open_backend
from executor.backends.settings import BackendSettings
from executor.errors import ConfigurationError, ExecutorClosed, ExecutorError
from executor.libraries.missing import hint_of_stderr
from executor.lru import Lru
from executor.models import (
    JUDGE_RULES,
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Rules,
    Script,
    ScriptResult,
    Signal,
    Status,
    Triplet,
    Verdict,
)
from executor.pool.pool import Pool, PoolStats
from executor.pool.priority import arrive
from executor.pool.runner import PoolEngine
from executor.pool.warm_scripts import WarmScripts
from executor.store.facts import facts_of
from executor.store.settings import StoreSettings
from executor.store.store import Store, StoreStats
from executor.tasks import end_all
from executor.verification.computed import ResultCache
from executor.verification.context import Context
from executor.verification.failures import failed_judgement, failed_verdict
from executor.verification.judging import Judge
from executor.verification.stored import StoredResults, situation
from executor.verification.validation import Validator

_REMEMBERED_OPTIONS = 64


class ExecutorStats(NamedTuple):
    """An executor at one moment, for monitoring."""

    pool: PoolStats
    cache_hits: int
    """Results that were known, since the executor was made."""
    cache_misses: int
    scripts_running: int
    scripts_waiting: int
    signals: Mapping[Signal, int] = MappingProxyType({})
    """Signs of cheating in all results, since the executor was made."""
    store: StoreStats | None = None
    """What came of the store; ``None`` if there is none."""
    libraries: tuple[str, ...] = ()
    """Other library sets than the executor's own that have guests now."""
    processes: int = 1
    """Host processes that share the work."""
    process_restarts: int = 0
    """Those that were replaced because they died."""


class _Verification(NamedTuple):
    """The parts that serve calls with the same options."""

    validator: Validator
    judge: Judge


class Executor(Closing):
    """Validates triplets, judges answers and runs scripts in warm sandboxes.

    Use it as an asynchronous context manager, on one event loop. All methods may be called
    concurrently. Cancelling a call frees what it uses; after the context nothing is left running.

    Args:
        backend: Name of a backend, or its settings. ``process`` has no isolation: for trusted code
            only.
        workers: Places of warm guests; by default two for each processor core this process may
            use. At least two are made: a validation needs two that differ.
        limits: What each run may use.
        rules: Screening of the programs that are validated.
        judge_rules: Screening of the programs of tasks and of solvers; by default none is banned.
        runs: Fresh processes that a triplet is validated in; at least 2.
        cache: Whether proven-deterministic results are remembered (in memory, bounded).
        store: Where such results are shared with other processes, machines and later runs: a path,
            an address, or settings. Without effect on what is judged, but for the time it takes.
        libraries: Library set that programs may import, by name (``executor image list``); by
            default the standard library only. :class:`Options` and scripts may name others.

    Raises:
        ConfigurationError: from the constructor; :class:`UnknownBackend` among others. On entering,
            if the store cannot be used.
        BackendUnavailable: on entering, if this machine cannot run the backend.
        ExecutorClosed: from methods, outside the context.
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
        _check_counts(workers, runs)
        self._limits = limits
        self._defaults = Options(limits=limits, rules=rules, judge_rules=judge_rules, runs=runs)
        settings = backend_settings(backend, libraries)
        self._libraries: str | None = getattr(settings, "libraries", None)
        self._backend = open_backend(settings, limits)
        self._image = str(getattr(settings, "image", ""))
        size = workers if workers is not None else 2 * len(os.sched_getaffinity(0))
        alike = partial(
            Executor, workers=size, limits=limits, rules=rules, judge_rules=judge_rules, runs=runs,
            cache=cache, store=store,
        )  # fmt: skip
        self._others = OnDemand(lambda name: alike(backend_settings(settings, name)))
        self._pool = Pool(self._backend, size)
        self._engine = PoolEngine(self._pool)
        self._cache = ResultCache() if cache else None
        self._store_settings = StoreSettings(url=store) if isinstance(store, str) else store
        self._store: Store | None = None
        self._verifications: Lru[Options, _Verification] = Lru(_REMEMBERED_OPTIONS)
        self._latest_options: Options | None = None
        self._latest: _Verification
        self._script_places = asyncio.Semaphore(size)
        self._scripts: set[asyncio.Future[ScriptResult]] = set()
        self._warm_scripts = WarmScripts(self._pool)
        self._scripts_running = 0
        self._signals: Counter[Signal] = Counter()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._pool.open()
        try:
            await self._open_store()
        except BaseException:
            await self._pool.close()
            raise
        self._open = True
        return self

    async def _open_store(self) -> None:
        if self._store_settings is None:
            return
        # Only now is it known which interpreter a backend elsewhere has.
        facts = facts_of(self._backend.name, self._backend.interpreter, self._image)
        store = Store(self._store_settings, facts)
        await store.open()
        self._store = store

    async def close(self) -> None:
        """End all guests. Calls in flight get :class:`ExecutorClosed`. Safe to call twice."""
        if self._open:
            self._open = False
            await end_all(self._scripts)
            await self._others.close()
            await self._pool.close()
            if self._store is not None:
                await self._store.close()

    @property
    def info(self) -> ExecutorInfo:
        """Facts about this executor; warnings are known once it is open."""
        backend = self._backend
        return ExecutorInfo(
            backend.name,
            backend.interpreter,
            backend.isolated,
            self._pool.size,
            backend.warnings,
            backend.process_reuse,
        )

    @property
    def pool(self) -> Pool:
        """The pool of warm guests."""
        return self._pool

    @property
    def limits(self) -> Limits:
        """Limits of each run, and the most that :class:`Options` of a call may ask for."""
        return self._limits

    def stats(self) -> ExecutorStats:
        """Counts of the present moment, for monitoring."""
        return ExecutorStats(
            pool=self._pool.stats(),
            cache_hits=self._cache.hits if self._cache else 0,
            cache_misses=self._cache.misses if self._cache else 0,
            scripts_running=self._scripts_running,
            scripts_waiting=len(self._scripts) - self._scripts_running,
            signals=dict(self._signals),
            store=self._store.stats() if self._store is not None else None,
            libraries=self._others.names,
        )

    async def validate(
        self,
        triplet: Triplet,
        *,
        options: Options = Options(),
    ) -> Verdict:
        """Decide whether a triplet is a sound task.

        Args:
            triplet: what to validate.
            options: settings of this call.

        Raises:
            ConfigurationError: the options ask for more than the executor's limits.
        """
        return await self._validate(0, triplet, options)

    async def judge(
        self,
        task: JudgeTask,
        *,
        options: Options = Options(),
    ) -> Judgement:
        """Score the answers of a task. Arguments and errors as of :meth:`validate`."""
        return await self._judge_task(0, task, options)

    async def run(self, script: Script, *, limits: Limits | None = None) -> ScriptResult:
        """Run a general script once, in a fresh sandbox with a writable directory.

        A Python script that has no files and makes no change outside its own process is run by a
        fork of a warm interpreter, which looks the same to it; hash seeds are those of the guest.
        At most ``workers`` scripts run at a time; others wait. ``limits``: at most the executor's.

        Raises:
            InputError: a path, an argument or a size that cannot be served.
            ConfigurationError: the limits are above the executor's.
        """
        self._check_open()
        arrive()
        allowed = (limits or self._limits).within(self._limits)
        if self._is_own(script.libraries):
            result = await self._run_script(script, allowed)
        else:
            async with self._with(script.libraries) as other:
                result = await other.run(script, limits=allowed)
        self._signals.update(result.signals)
        return result

    def _is_own(self, libraries: str | None) -> bool:
        return libraries is None or libraries == self._libraries

    @asynccontextmanager
    async def _with(self, libraries: str | None) -> AsyncIterator[Executor]:
        """The executor with another library set, whose guests are started if there are none."""
        try:
            async with self._others.use(libraries or "") as other:
                yield other
        except ExecutorClosed:
            raise ExecutorClosed("the executor was closed") from None

    async def _run_script(self, script: Script, limits: Limits) -> ScriptResult:
        """Run a script, which ends with this call, and with the executor."""
        running = asyncio.ensure_future(self._run_anywhere(script, limits))
        self._scripts.add(running)
        try:
            return await running
        except asyncio.CancelledError:
            if self._open:
                raise
            raise ExecutorClosed("the executor was closed") from None
        finally:
            self._scripts.discard(running)
            await end_all([running])

    async def _run_anywhere(self, script: Script, limits: Limits) -> ScriptResult:
        result = await self._run_warm(script, limits)
        if result is None:
            result = await self._run_in_jail(script, limits)
        if result.status is Status.FORBIDDEN and not result.signals:
            result = result.model_copy(update={"signals": {Signal.FORBIDDEN_CALL: 1}})
        if result.status is Status.ERROR and (told := hint_of_stderr(result.stderr)):
            result = result.model_copy(update={"detail": result.detail + told})
        return result

    async def _run_warm(self, script: Script, limits: Limits) -> ScriptResult | None:
        self._scripts_running += 1
        try:
            return await self._warm_scripts.run(script, limits)
        finally:
            self._scripts_running -= 1

    async def _run_in_jail(self, script: Script, limits: Limits) -> ScriptResult:
        async with self._script_places:
            self._scripts_running += 1
            try:
                return await self._backend.run_script(script, limits)
            finally:
                self._scripts_running -= 1

    def validate_many(
        self,
        triplets: Iterable[Triplet] | AsyncIterable[Triplet],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[Verdict, None]:
        """Validate a stream of triplets; each verdict's ``index`` is its position.

        The source is read only as far as ``window`` items are in hand, so it may be endless.
        ``ordered=False`` yields verdicts as they finish. Closing the generator cancels the rest.
        A triplet that the platform fails on is ``infra``, and the others go on.
        """

        async def work(index: int, triplet: Triplet) -> Verdict:
            try:
                return await self._validate(index, triplet, options)
            except ExecutorError:
                raise
            except Exception as error:
                return failed_verdict(index, triplet, error)

        return stream(triplets, work, window=window or self._window(), ordered=ordered)

    def judge_many(
        self,
        tasks: Iterable[JudgeTask] | AsyncIterable[JudgeTask],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[Judgement, None]:
        """Judge a stream of tasks; like :meth:`validate_many`."""

        async def work(index: int, task: JudgeTask) -> Judgement:
            try:
                return await self._judge_task(index, task, options)
            except ExecutorError:
                raise
            except Exception as error:
                return failed_judgement(index, task, error)

        return stream(tasks, work, window=window or self._window(), ordered=ordered)

    def _window(self) -> int:
        return ITEMS_PER_WORKER * self._pool.size

    async def _validate(self, index: int, triplet: Triplet, options: Options) -> Verdict:
        self._check_open()
        arrive()
        if self._is_own(options.libraries):
            verdict = await self._verification(options).validator.validate(triplet, index)
        else:
            async with self._with(options.libraries) as other:
                verdict = await other._validate(index, triplet, options)
        if verdict.signals:
            self._signals.update(verdict.signals)
        return verdict

    async def _judge_task(self, index: int, task: JudgeTask, options: Options) -> Judgement:
        self._check_open()
        arrive()
        if self._is_own(options.libraries):
            judgement = await self._verification(options).judge.judge(task, index)
        else:
            async with self._with(options.libraries) as other:
                judgement = await other._judge_task(index, task, options)
        if judgement.signals:
            self._signals.update(judgement.signals)
        return judgement

    def _verification(self, options: Options) -> _Verification:
        if options is self._latest_options:  # most often, and hashing them takes long
            return self._latest
        self._latest_options, self._latest = options, self._find_verification(options)
        return self._latest

    def _find_verification(self, options: Options) -> _Verification:
        known = self._verifications.get(options)
        if known is None:
            known = self._make_verification(options)
            self._verifications.put(options, known)
        return known

    def _make_verification(self, options: Options) -> _Verification:
        chosen = options.over(self._defaults)
        assert chosen.limits is not None
        limits = chosen.limits.within(self._limits)

        def validator(rules: Rules | None) -> Validator:
            assert rules is not None
            assert chosen.runs is not None
            context = Context(
                limits, rules, backend=self._backend.name, interpreter=self._backend.interpreter
            )
            return Validator(
                self._engine,
                context,
                runs=chosen.runs,
                cache=self._cache,
                stored=self._stored(context, chosen.runs),
            )

        judge = Judge(self._engine, validator(chosen.judge_rules), self._run_script)
        return _Verification(validator(chosen.rules), judge)

    def _stored(self, context: Context, runs: int) -> StoredResults | None:
        if self._store is None:
            return None
        return StoredResults(self._store.section(situation(context, runs)))

    def _check_open(self) -> None:
        if not self._open:
            raise ExecutorClosed("the executor is not open: use it as 'async with Executor(...)'")


def _check_counts(workers: int | None, runs: int) -> None:
    if workers is not None and workers < 1:
        raise ConfigurationError(f"workers must be at least 1, not {workers}")
    if runs < 2:
        raise ConfigurationError(f"a validation takes at least 2 runs, not {runs}")
