"""Weaknesses that whoever runs the service has waived: which, what they came to, who is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from executor.doctor import OPEN, ProbeResult, State
from executor.service.models import WaivedProbe, WaivedState

HEADER = "X-Executor-Weaknesses"
"""Header of all answers while there are weaknesses: those of SandboxFusion's API have no field."""
_log = structlog.get_logger("executor.service")


class Waivers:
    """Probes that may fail without keeping the service from its work."""

    def __init__(self, names: Sequence[str]) -> None:
        self.probes: tuple[WaivedProbe, ...] = ()
        """Each, and what it came to when it was last tried."""
        self.weaknesses: tuple[str, ...] = ()
        """Names of those that are not known to hold: what results have to say."""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        """The same as headers of an answer; none if there is none."""
        self._warned: set[tuple[str, State]] = set()
        self._tell(tuple(WaivedProbe(name=name) for name in names))

    def cover(self, name: str) -> bool:
        """Whether this probe may fail."""
        return any(probe.name == name for probe in self.probes)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of those that were tried, and of which nothing was found out."""
        return tuple(p.name for p in self.probes if p.state is WaivedState.UNKNOWN)

    def note(self, found: Iterable[ProbeResult]) -> None:
        """Remember what probes came to, as far as they are waived; warn of each that is open."""
        results = {result.name: result for result in found}
        self._tell(
            tuple(_noted(results[old.name]) if old.name in results else old for old in self.probes)
        )
        for result in results.values():
            if result.state in OPEN and self.cover(result.name):
                self._warn(result)

    def _tell(self, probes: tuple[WaivedProbe, ...]) -> None:
        self.probes = probes
        self.weaknesses = tuple(p.name for p in probes if p.state is not WaivedState.HOLDS)
        value = ", ".join(self.weaknesses).encode("ascii")
        self.headers = ((HEADER.lower().encode(), value),) if value else ()

    def _warn(self, result: ProbeResult) -> None:
        if (result.name, result.state) not in self._warned:
            self._warned.add((result.name, result.state))
            _log.warning("waived", **result._asdict())


def _noted(result: ProbeResult) -> WaivedProbe:
    state = WaivedState(result.state.value)
    return WaivedProbe(name=result.name, state=state, happened=result.happened)
