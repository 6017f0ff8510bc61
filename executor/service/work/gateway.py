"""The way from every route to the executor: admission, metrics and errors are the same for all."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from executor.api.protocol import ObservedExecutor
from executor.errors import ExecutorError
from executor.models import (
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Script,
    ScriptResult,
    Status,
    Triplet,
    Usage,
    Verdict,
)
from executor.pool.priority import priority
from executor.service.errors import from_executor
from executor.service.work.admission import Admission, LaneName
from executor.service.work.metrics import Metrics
from executor.service.work.tenants import current
from executor.service.work.waivers import Waivers

_AS_EXECUTOR = Options()
_BATCHES_YIELD_S = 10.0
"""Seconds after its arrival at which a line of a batch counts as arrived."""


class Gateway:
    """Calls of the executor, admitted and counted. Results name the weaknesses that are waived.

    ``background`` marks a line of a batch: single calls go first. All methods raise
    :class:`executor.service.errors.ApiError`: 422 for what cannot be served as it is, 429 when the
    queue is full, 503 when there is no executor to ask. Cancelling frees the place.
    """

    def __init__(
        self, executor: ObservedExecutor, admission: Admission, metrics: Metrics, waivers: Waivers
    ) -> None:
        self._executor = executor
        self._admission = admission
        self._metrics = metrics
        self._waivers = waivers

    async def validate(
        self, triplet: Triplet, *, options: Options | None = None, background: bool = False
    ) -> Verdict:
        """See :meth:`executor.api.local.Executor.validate`."""
        return await self._admitted(
            "verify",
            "validate",
            lambda: self._executor.validate(triplet, options=self._filled(options)),
            lambda verdict: ((verdict.status,), verdict.usage),
            background,
        )

    async def judge(
        self, task: JudgeTask, *, options: Options | None = None, background: bool = False
    ) -> Judgement:
        """See :meth:`executor.api.local.Executor.judge`."""
        return await self._admitted(
            "verify",
            task.task.value,
            lambda: self._executor.judge(task, options=self._filled(options)),
            lambda judgement: (judgement.statuses, judgement.usage),
            background,
        )

    async def run(
        self, script: Script, *, limits: Limits | None = None, background: bool = False
    ) -> ScriptResult:
        """See :meth:`executor.api.local.Executor.run`."""
        return await self._admitted(
            "run",
            "run",
            lambda: self._executor.run(script, limits=limits and self._filled_limits(limits)),
            lambda result: ((result.status,), result.usage),
            background,
        )

    def _filled(self, options: Options | None) -> Options:
        if options is None or options.limits is None:
            return options or _AS_EXECUTOR
        return options.model_copy(update={"limits": self._filled_limits(options.limits)})

    def _filled_limits(self, limits: Limits) -> Limits:
        """Limits that the caller left out are the server's."""
        given = {name: getattr(limits, name) for name in limits.model_fields_set}
        return self._executor.limits.model_copy(update=given)

    async def _admitted[R: (Verdict, Judgement, ScriptResult)](
        self,
        lane_name: LaneName,
        task: str,
        call: Callable[[], Awaitable[R]],
        account: Callable[[R], tuple[Iterable[Status], Usage]],
        background: bool,
    ) -> R:
        lane = self._admission.lanes[lane_name]
        tenant = current()
        queued_s = await lane.enter(background=background, tenant=tenant)
        started = time.monotonic()
        try:
            yields_s = _BATCHES_YIELD_S * background + lane.yields_s(tenant)
            with priority(yields_s=yields_s):
                result = await call()
        except ExecutorError as error:
            raise from_executor(error) from error
        finally:
            ran_s = time.monotonic() - started
            lane.leave(background=background, ran_s=ran_s, tenant=tenant)
        statuses, usage = account(result)
        self._metrics.item(
            task,
            statuses,
            result.signals,
            queued_s=queued_s,
            ran_s=ran_s,
            cpu_s=usage.cpu_ms / 1000,
            tenant=tenant,
        )
        weaknesses = self._waivers.weaknesses
        return result.model_copy(update={"weaknesses": weaknesses}) if weaknesses else result
