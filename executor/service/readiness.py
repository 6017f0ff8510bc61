"""Whether the service may be given work: its limits have been proven, and it is not stopping."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat

import structlog

from executor.api import Executor
from executor.errors import ExecutorError
from executor.probes import PROBES, ProbeResult, State, prove
from executor.service.admission import Admission
from executor.service.errors import unavailable

_RETRIES_S = (1.0, 2.0, 5.0, 15.0)
"""A machine that is busy can fail a round."""
_log = structlog.get_logger("executor.service")


class Readiness:
    """Opens the admission once the probes of the sandbox have passed."""

    def __init__(self, executor: Executor, admission: Admission) -> None:
        self._executor = executor
        self._admission = admission
        self.draining = False
        self.problem: str | None = "the sandbox's limits are being probed"
        """Why the service is not ready, if it is not."""
        self.probes: tuple[ProbeResult, ...] = ()
        """What the last round of probes found."""

    async def prove(self) -> None:
        """Probe until all is as it should be; a failed round is repeated after some seconds."""
        for delay in chain(_RETRIES_S, repeat(_RETRIES_S[-1])):
            if await self._round():
                return
            await asyncio.sleep(delay)

    async def _round(self) -> bool:
        try:
            self.probes = await prove(self._executor, PROBES)
        except ExecutorError as error:
            self._failed("the probes could not be run", error=type(error).__name__)
            return False
        failed = [result for result in self.probes if result.state in (State.FAILS, State.UNKNOWN)]
        if failed:
            self._failed(
                "not as it should be: "
                + ", ".join(f"{result.name} ({result.happened})" for result in failed),
                probes=[result._asdict() for result in failed],
            )
            return False
        if not self.draining:
            self.problem = None
            self._admission.closed = None
        _log.info("ready", probes=len(self.probes))
        return True

    def _failed(self, problem: str, **facts: object) -> None:
        self.problem = problem
        if not self.draining:
            self._admission.closed = unavailable("the service is not ready", "not_ready")
        _log.error("not ready", problem=problem, **facts)

    def drain(self) -> None:
        """Take no more work; what is in hand goes on."""
        self.draining = True
        self.problem = "the service is stopping"
        self._admission.closed = unavailable("the service is stopping", "draining")
        self._admission.draining.set()
