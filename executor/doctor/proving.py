"""Runs probes on an executor, and says what each came to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from executor.api.protocol import ExecutorProtocol
from executor.doctor.base import LIMITS, Probe, ProbeResult, Seen, State, Step
from executor.doctor.canaries import Canaries, planted
from executor.doctor.combined import together, told
from executor.doctor.promises import Exemption, exemption, key
from executor.models import Limits, Options, Rules, Script, Status

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
    async with planted() as canaries:
        try:
            async with asyncio.TaskGroup() as group:
                trials = [
                    _Trial(executor, probe, canaries, places, promised_by) for probe in probes
                ]
                for sharing in _sharing(trials):
                    task = group.create_task(_tell(sharing, executor, places))
                    for trial in sharing:
                        trial.shared = task
                tasks = [group.create_task(trial.run()) for trial in trials]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return tuple(task.result() for task in tasks)


class _Trial:
    def __init__(
        self,
        executor: ExecutorProtocol,
        probe: Probe,
        canaries: Canaries,
        places: asyncio.Semaphore,
        backend: str,
    ) -> None:
        self._executor = executor
        self.probe = probe
        self.steps = probe.steps(canaries)
        self._places = places
        self._excused = exemption(backend, probe.name) or self._admitted()
        self.shared: asyncio.Task[dict[str, str]] | None = None
        """Tells what scripts of several probes printed that ran together, this one's among them."""

    @property
    def is_made(self) -> bool:
        """Whether anything is tried."""
        return self._excused is None or self._excused.tried

    async def run(self) -> ProbeResult:
        """All steps, as far as they are as expected."""
        excused = self._excused
        if excused is not None and not excused.tried:
            return self._result(State.NOT_PROMISED, "", excused.why)
        known = (await self.shared).get(self.probe.name) if self.shared is not None else None
        if known is not None:
            seen = [Seen(Status.OK, known.strip(), "")]
        else:
            async with self._places:
                seen = [await self._seen(step) for step in self.steps]
        state = self._state(seen)
        if excused is not None:
            return self._result(State.NOT_PROMISED, self._happened(seen), excused.why)
        advice = {State.FAILS: self.probe.mend, State.UNKNOWN: _TRY_AGAIN}.get(state, "")
        return self._result(state, self._happened(seen), advice)

    def _admitted(self) -> Exemption | None:
        """The backend's own word that it cannot bound the sum over processes on this host."""
        if self.probe.name != "script-memory-sum":
            return None
        for warning in self._executor.info.warnings:
            if warning.startswith(_NO_GROUPS):
                return Exemption((), (), why=warning)
        return None

    async def _seen(self, step: Step) -> Seen:
        limits = Limits.least((self._executor.limits, step.limits))
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
            for step, found in zip(self.steps, seen, strict=True)
            if not _as_expected(step, found)
        ]
        if not wrong:
            return State.HOLDS
        unclear = all(found.status in _UNCLEAR for found in wrong)
        return State.UNKNOWN if unclear else State.FAILS

    def _happened(self, seen: list[Seen]) -> str:
        """The runs that ended otherwise than expected; if none did, all of them."""
        pairs = [pair for pair in zip(self.steps, seen, strict=True) if pair[0].expect is not None]
        wrong = [found for step, found in pairs if not _as_expected(step, found)]
        return "; ".join(dict.fromkeys(map(str, wrong or [found for _, found in pairs])))

    def _result(self, state: State, happened: str, advice: str) -> ProbeResult:
        expected = dict.fromkeys(str(step.expect) for step in self.steps if step.expect)
        probe = self.probe
        return ProbeResult(probe.name, state, probe.tries, "; ".join(expected), happened, advice)


def _sharing(trials: Iterable[_Trial]) -> list[list[_Trial]]:
    """Those whose scripts run together, in groups of at least two."""
    groups: dict[str, list[_Trial]] = {}
    for trial in trials:
        if trial.probe.shares and trial.is_made:
            groups.setdefault(trial.probe.shares, []).append(trial)
    return [group for group in groups.values() if len(group) > 1]


async def _tell(
    trials: Iterable[_Trial], executor: ExecutorProtocol, places: asyncio.Semaphore
) -> dict[str, str]:
    scripts = {}
    for trial in trials:
        (step,) = trial.steps
        assert isinstance(step.item, Script)
        scripts[trial.probe.name] = step.item
    async with places:
        limits = Limits.least((executor.limits, LIMITS))
        return told(await executor.run(together(scripts), limits=limits))


def _as_expected(step: Step, seen: Seen) -> bool:
    return step.expect is None or step.expect.met(seen)
