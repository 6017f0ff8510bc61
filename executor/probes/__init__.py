"""Proof of what a backend promises: programs and scripts that break each limit and each wall.

They run in the real sandbox, on this host. A sandbox that lets one of them through is not to be
used. :func:`prove` runs them; :data:`PROBES` are all of them.
"""

from __future__ import annotations

from executor.probes import limits, runs, walls
from executor.probes.base import Probe, ProbeResult, State
from executor.probes.promises import EXEMPTIONS, Exemption
from executor.probes.proving import prove
from executor.probes.waivers import OPEN, excused, waivable

__all__ = [
    "EXEMPTIONS",
    "OPEN",
    "PROBES",
    "Exemption",
    "Probe",
    "ProbeResult",
    "State",
    "excused",
    "prove",
    "waivable",
]

PROBES: tuple[Probe, ...] = (*limits.PROBES, *walls.PROBES, *runs.PROBES)
"""All probes. Their names are unique: they are waived by name."""
