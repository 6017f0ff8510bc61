"""Exceptions to the promises, by backend and with reasons; all else every backend promises.

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


_WALLS = (
    "system-calls",
    "processes",
    "network",
    "files",
    "host-files",
    "user",
    "privileges",
    "core-dumps",
    "script-memory-sum",
    "script-processes",
    "script-files",
    "script-inodes",
    "script-system-calls",
    "script-sockets",
    "script-network",
    "script-local-sockets",
    "script-read-only",
    "script-writable-places",
    "script-host-files",
    "script-devices",
    "script-user",
    "script-capabilities",
    "script-no-new-privileges",
    "script-processes-of-others",
    "script-host-name",
    "script-leftovers",
)
"""Promises that rest on isolation: a backend that does not isolate cannot make them."""

EXEMPTIONS: tuple[Exemption, ...] = (
    Exemption(
        backends=("process",),
        probes=(
            *_WALLS,
            "clocks",
        ),
        why="NO ISOLATION: programs run as this user, with its files and its network",
        tried=False,
    ),
    Exemption(
        backends=("nsjail", "docker", "process", "sandboxfusion"),
        probes=("script-own-kernel",),
        why="programs talk to the host's kernel",
    ),
    Exemption(
        backends=("sandboxfusion",),
        probes=(
            *_WALLS,
            "script-cpu",
            "script-memory",
            "script-output",
            "script-file-size",
            "script-open-files",
            "script-descriptors",
            "script-environment",
            "script-core-dumps",
        ),
        why="the server's own doing: this is what it looks like from inside (docs/client.md)",
    ),
    Exemption(
        backends=("sandboxfusion",),
        probes=("clocks",),
        why="a script cannot shift the server's clock",
    ),
    Exemption(
        backends=("gvisor",),
        probes=("script-system-calls", "script-sockets", "script-devices"),
        why="gVisor's own kernel answers: the host's never sees the call, nor is there a device "
        "or a network behind it",
    ),
    Exemption(
        backends=("gvisor",),
        probes=("script-inodes",),
        why="gVisor does not count the files of its file systems in memory; they are its memory, "
        "which the container's limit bounds",
    ),
)


def exemption(backend: str, probe: str) -> Exemption | None:
    """The reason why a backend does not promise what a probe tries; ``None``: it does."""
    for entry in EXEMPTIONS:
        named = any(fnmatchcase(probe, name) for name in entry.probes)
        if named and backend in entry.backends:
            return entry
    return None


def key(backend: str) -> str:
    """The name that :data:`EXEMPTIONS` knows a backend by, of the one that results have."""
    return backend.partition(" ")[0]
