"""Runs the cases on one backend."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import NamedTuple

from executor import BackendSettings, Executor, Limits, Options, Rules, Triplet
from executor.models import JudgeTask
from tests.cases.conformance import Case, Outcome, observe

LIMITS = Limits(wall_s=60, memory_mib=256, output_kib=256, files_mib=16)
"""Processor time is scarce and wall time is not: what is slow on a busy machine is not wrong."""
_SHORT_S = 2.0
_OPEN = Rules(banned_modules=(), min_parameters=0)
_AT_ONCE = 8
_DURATION = re.compile(rb"in \d+\.\d+s")


class Seen(NamedTuple):
    """What a backend made of a case."""

    outcome: Outcome
    detail: str


async def run_cases(
    backend: str | BackendSettings, cases: Iterable[Case], *, cpu_s: int
) -> dict[str, Seen]:
    """The outcome of every case by its name. Raises BackendUnavailable."""
    places = asyncio.Semaphore(_AT_ONCE)
    limits = LIMITS.model_copy(update={"cpu_s": cpu_s})
    async with Executor(backend, limits=limits, rules=_OPEN, cache=False) as executor:

        async def one(case: Case) -> tuple[str, Seen]:
            async with places:
                return case.name, await _run(executor, case)

        return dict(await asyncio.gather(*map(one, cases)))


async def _run(executor: Executor, case: Case) -> Seen:
    # Only what can end by it has a short wall limit.
    limits = executor.limits
    if case.name.endswith("/sleep"):
        limits = limits.model_copy(update={"wall_s": _SHORT_S})
    item = case.item
    if isinstance(item, Triplet):
        rules = Rules() if case.category.startswith("examples/") else _OPEN
        verdict = await executor.validate(item, options=Options(limits=limits, rules=rules))
        return Seen(observe(verdict), verdict.detail)
    if isinstance(item, JudgeTask):
        judgement = await executor.judge(item, options=Options(limits=limits))
        return Seen(observe(judgement), "; ".join(judgement.details))
    result = await executor.run(item, limits=limits)
    outcome = observe(result)
    outcome["stdout"] = _DURATION.sub(b"in some seconds", outcome["stdout"])
    if result.status.endswith("_limit"):
        del outcome["stdout"]  # how far it came is a matter of time
    return Seen(outcome, f"{result.detail}; {result.stderr[-300:]!r}")
