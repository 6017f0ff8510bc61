"""Proof of what a backend promises: programs and scripts that break each limit and each wall.

They run in the real sandbox, on this host. A sandbox that lets one of them through is not to be
used. :func:`prove` runs them; :data:`PROBES` are all of them.
"""

from __future__ import annotations

from executor.doctor import isolation, limits, runs
from executor.doctor.base import Probe, ProbeResult, State
from executor.doctor.promises import EXEMPTIONS, Exemption
from executor.doctor.proving import prove
from executor.doctor.waivers import OPEN, excused, waivable

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

PROBES: tuple[Probe, ...] = (*limits.PROBES, *isolation.PROBES, *runs.PROBES)
"""All probes. Their names are unique: they are waived by name."""
