"""Runs probes on an executor, and says what each came to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from executor.models import Limits, Options, Rules, Script, Status
from executor.probes.bait import Bait, laid_out
from executor.probes.base import Probe, ProbeResult, Seen, State, Step
from executor.probes.promises import Exemption, exemption, key
from executor.protocol import ExecutorProtocol

_RULES = Rules(banned_modules=(), min_parameters=0)
_UNCLEAR = frozenset({Status.INFRA, Status.CPU_LIMIT, Status.WALL_LIMIT})
_TRY_AGAIN = "the machine is too busy, or the backend fails: try again"
_NO_GROUPS = "no control groups can be made here"
_AT_A_TIME = 4
"""Few: they are to hit their own limit, not that of the machine."""


async def prove(
    executor: ExecutorProtocol, probes: Sequence[Probe], *, promises: str | None = None
) -> tuple[ProbeResult, ...]:
    """Run the probes; raises what the executor raises.

    Args:
        executor: open; its limits may be lower than a probe's.
        probes: what to try, most of it at the same time.
        promises: the backend whose promises have to hold; by default the executor's own.
    """
    promised_by = promises or key(executor.info.backend)
    places = asyncio.Semaphore(_AT_A_TIME)
    async with laid_out() as bait:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_Trial(executor, probe, bait, places).run(promised_by))
                    for probe in probes
                ]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return tuple(task.result() for task in tasks)


class _Trial:
    def __init__(
        self, executor: ExecutorProtocol, probe: Probe, bait: Bait, places: asyncio.Semaphore
    ) -> None:
        self._executor = executor
        self._probe = probe
        self._steps = probe.steps(bait)
        self._places = places

    async def run(self, backend: str) -> ProbeResult:
        """All steps, as far as they are as expected."""
        excused = exemption(backend, self._probe.name) or self._admitted()
        if excused is not None and not excused.tried:
            return self._result(State.NOT_PROMISED, "", excused.why)
        async with self._places:
            seen = [await self._seen(step) for step in self._steps]
        state = self._state(seen)
        if excused is not None:
            return self._result(State.NOT_PROMISED, self._happened(seen), excused.why)
        advice = {State.FAILS: self._probe.mend, State.UNKNOWN: _TRY_AGAIN}.get(state, "")
        return self._result(state, self._happened(seen), advice)

    def _admitted(self) -> Exemption | None:
        """What the backend itself says it cannot do on this host: the sum over processes."""
        if self._probe.name != "script-memory-sum":
            return None
        for warning in self._executor.info.warnings:
            if warning.startswith(_NO_GROUPS):
                return Exemption((), (), why=warning)
        return None

    async def _seen(self, step: Step) -> Seen:
        limits = _at_most(self._executor.limits, step.limits)
        if isinstance(step.item, Script):
            result = await self._executor.run(step.item, limits=limits)
            text = result.stdout.decode("utf-8", "replace").strip()
            said = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            return Seen(result.status, text, f"{result.detail}; {said}" if said else result.detail)
        verdict = await self._executor.validate(
            step.item, options=Options(limits=limits, rules=_RULES)
        )
        return Seen(verdict.status, next(iter(verdict.outputs), None) or "", verdict.detail)

    def _state(self, seen: list[Seen]) -> State:
        wrong = [
            found
            for step, found in zip(self._steps, seen, strict=True)
            if not _as_expected(step, found)
        ]
        if not wrong:
            return State.HOLDS
        unclear = all(found.status in _UNCLEAR for found in wrong)
        return State.UNKNOWN if unclear else State.FAILS

    def _happened(self, seen: list[Seen]) -> str:
        """What differs from what is expected; if nothing does, all of it."""
        pairs = [pair for pair in zip(self._steps, seen, strict=True) if pair[0].expect is not None]
        wrong = [found for step, found in pairs if not _as_expected(step, found)]
        return "; ".join(dict.fromkeys(map(str, wrong or [found for _, found in pairs])))

    def _result(self, state: State, happened: str, advice: str) -> ProbeResult:
        expected = dict.fromkeys(str(step.expect) for step in self._steps if step.expect)
        probe = self._probe
        return ProbeResult(probe.name, state, probe.tries, "; ".join(expected), happened, advice)


def _as_expected(step: Step, seen: Seen) -> bool:
    return step.expect is None or step.expect.met(seen)


def _at_most(ceiling: Limits, wanted: Limits) -> Limits:
    return Limits(**{name: min(getattr(wanted, name), most) for name, most in ceiling})
