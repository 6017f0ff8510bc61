"""Probes that may fail, because who runs the sandbox has said so, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from executor.doctor.base import Probe, ProbeResult, State
from executor.errors import ConfigurationError

OPEN = frozenset({State.FAILS, State.UNKNOWN})
"""States that keep a sandbox from being used, unless they are waived."""


def waivable(names: Iterable[str], probes: Sequence[Probe]) -> tuple[str, ...]:
    """The names, each once, in the order of the probes.

    Raises:
        ConfigurationError: one of them is no probe's name: a waiver that waives nothing would
            look as if it did.
    """
    known = [probe.name for probe in probes]
    wanted = set(names)
    for name in sorted(wanted.difference(known)):
        close = get_close_matches(name, known)
        told = f" (close: {', '.join(close)})" if close else ""
        raise ConfigurationError(f"{name!a} is no probe{told}; 'executor doctor' lists all")
    return tuple(name for name in known if name in wanted)


def excused(results: Iterable[ProbeResult], waived: Sequence[str]) -> tuple[ProbeResult, ...]:
    """The results; of those that are waived none fails, nor is unknown."""
    return tuple(
        result._replace(state=State.WAIVED)
        if result.name in waived and result.state in OPEN
        else result
        for result in results
    )
