"""Whether the service may be given work: its limits have been proven, and it is not stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain, repeat

import structlog

from executor.api.protocol import ObservedExecutor
from executor.doctor import OPEN, PROBES, Probe, ProbeResult, State, prove
from executor.errors import ExecutorError
from executor.service.errors import unavailable
from executor.service.work.admission import Admission
from executor.service.work.waivers import Waivers

_RETRIES_S = (1.0, 2.0, 5.0, 15.0)
"""A machine that is busy can fail a round."""
_log = structlog.get_logger("executor.service")


class Readiness:
    """Opens the admission once the probes of the sandbox have passed, but for those waived."""

    def __init__(self, executor: ObservedExecutor, admission: Admission, waivers: Waivers) -> None:
        self._executor = executor
        self._admission = admission
        self._waivers = waivers
        self.draining = False
        self.problem: str | None = "the sandbox's limits are being probed"
        """The reason why the service is not ready, if it is not."""
        self.probes: tuple[ProbeResult, ...] = ()
        """The last finding of each probe."""

    async def prove(self) -> None:
        """Probe until all is as it should be; a failed round is repeated after some seconds.

        The service is ready when the quick probes have passed. The slow ones follow; if one of
        them fails, the service is not ready until it passes. Last come those that are waived and
        of which nothing was found out: results are not to name a weakness that is none.
        """
        await self._until_passed(tuple(probe for probe in PROBES if not probe.slow))
        self._open()
        _log.info("ready", probes=len(self.probes))
        await self._until_passed(tuple(probe for probe in PROBES if probe.slow))
        self._open()
        _log.info("proven", probes=len(self.probes))
        await self._until_known()

    async def _until_passed(self, probes: Sequence[Probe]) -> None:
        for delay in chain(_RETRIES_S, repeat(_RETRIES_S[-1])):
            if await self._round(probes):
                return
            await asyncio.sleep(delay)

    async def _until_known(self) -> None:
        for delay in chain(_RETRIES_S, repeat(_RETRIES_S[-1])):
            unknown = tuple(probe for probe in PROBES if probe.name in self._waivers.unknown)
            if not unknown:
                return
            await asyncio.sleep(delay)
            await self._round(unknown)

    async def _round(self, probes: Sequence[Probe]) -> bool:
        try:
            found = await prove(self._executor, probes)
        except ExecutorError as error:
            self._failed("the probes could not be run", error=type(error).__name__)
            return False
        names = {result.name for result in found}
        self.probes = (*(old for old in self.probes if old.name not in names), *found)
        self._waivers.note(found)
        bad = [r for r in found if r.state in OPEN and not self._waivers.cover(r.name)]
        facts = [result._asdict() for result in bad]
        if any(result.state is State.FAILS for result in bad) or (bad and self.problem):
            told = ", ".join(f"{result.name} ({result.happened})" for result in bad)
            self._failed(f"not as it should be: {told}", probes=facts)
        elif bad:  # Nothing was found out: no reason to turn away work.
            _log.warning("probes are repeated", probes=facts)
        return not bad

    def _open(self) -> None:
        if not self.draining:
            self.problem = None
            self._admission.closed = None

    def _failed(self, problem: str, **facts: object) -> None:
        if not self.draining:
            self.problem = problem
            self._admission.closed = unavailable("the service is not ready", "not_ready")
        _log.error("not ready", problem=problem, **facts)

    def drain(self) -> None:
        """Take no more work; what is in hand goes on."""
        self.draining = True
        self.problem = "the service is stopping"
        self._admission.closed = unavailable("the service is stopping", "draining")
        self._admission.draining.set()
