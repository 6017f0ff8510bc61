"""What is not promised, where, and why: the one list. Everything else is promised by every backend.

``SECURITY.md`` shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Exemption:
    """Probes whose success a backend does not promise."""

    backends: tuple[str, ...]
    probes: tuple[str, ...]
    """Names; ``*`` stands for anything."""
    why: str
    tried: bool = True
    """Whether they are tried nevertheless, so that people see what happens."""


EXEMPTIONS: tuple[Exemption, ...] = (
    Exemption(
        backends=("nsjail", "docker"),
        probes=("script-own-kernel",),
        why="programs talk to the host's kernel, through a filter",
    ),
)


def exemption(backend: str, probe: str) -> Exemption | None:
    """Why a backend does not promise what a probe tries; ``None``: it does."""
    for entry in EXEMPTIONS:
        named = any(fnmatchcase(probe, name) for name in entry.probes)
        if named and backend in entry.backends:
            return entry
    return None


def key(backend: str) -> str:
    """The name that :data:`EXEMPTIONS` knows a backend by, of the one that results have."""
    return backend.partition(" ")[0]
