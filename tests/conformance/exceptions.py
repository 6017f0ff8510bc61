"""Where backends differ, and why: the one list. ``docs/backends.md`` shows it.

An exception that no longer occurs is an error, as is a difference that is not listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Exemption:
    """Cases whose outcome on some backends is another than on nsjail."""

    backends: tuple[str, ...]
    cases: tuple[str, ...]
    """Names of cases; ``*`` stands for anything. Each of them must differ."""
    instead: str
    """What is seen, for people."""
    reason: str
    statuses: tuple[str, ...] = ()
    """The statuses that these cases may get; empty: that of nsjail, another output."""

    def covers(self, backend: str, case: str) -> bool:
        """Whether the outcome of a case may differ on a backend."""
        return backend in self.backends and any(fnmatchcase(case, name) for name in self.cases)


EXEMPTIONS: tuple[Exemption, ...] = (
    Exemption(
        backends=("docker",),
        cases=("scripts/root", "scripts/proc"),
        instead="the root directory also has `/proc`, `/sys`, `/run` and `/.dockerenv`",
        reason="a Docker engine starts no container without them; what they tell about the host "
        "is covered",
    ),
    Exemption(
        backends=("gvisor",),
        cases=("scripts/root",),
        instead="the root directory also has `/proc`, `/sys` and `/.dockerenv`, which are empty",
        reason="a Docker engine starts no container without them",
    ),
    Exemption(
        backends=("gvisor",),
        cases=("scripts/internet", "scripts/ptrace", "scripts/mount", "scripts/unshare"),
        instead="the script goes on; the call fails, or has no effect (`ok` for `forbidden`)",
        reason="gVisor's own kernel answers: there is no filter that kills. The host's kernel "
        "never sees the call, and there is no network behind a socket",
        statuses=("ok",),
    ),
    Exemption(
        backends=("gvisor",),
        cases=("errors/raw-memory",),
        instead="verified programs can import `ctypes` (`ok` for `error`)",
        reason="gVisor does not cover single files of the image. The walls are the process's and "
        "gVisor's, not what the interpreter offers",
        statuses=("ok",),
    ),
    Exemption(
        backends=("sandboxfusion",),
        cases=("errors/raw-memory", "examples/triplets/reads-a-file-that-is-not-there"),
        instead="verified programs can import all that the server's interpreter has, `ctypes` "
        "too, and read the files that its scripts may read (`ok` for `error`)",
        reason="there is no root of our own: what a program finds is the server's. On "
        "`executor serve` that is the jail of scripts, with a made-up `/etc/passwd`",
        statuses=("ok",),
    ),
    Exemption(
        backends=("sandboxfusion",),
        cases=("nondeterminism/today", "nondeterminism/year", "nondeterminism/host-name"),
        instead="the date and the host's name are the same in all runs (`ok` for "
        "`nondeterministic`)",
        reason="a script can neither shift the server's clock nor rename the server",
        statuses=("ok",),
    ),
)


def table() -> str:
    """The list as a table in Markdown."""
    lines = ["| backend | cases | what is seen | why |", "|---|---|---|---|"]
    for entry in EXEMPTIONS:
        backends = ", ".join(entry.backends)
        cases = ", ".join(f"`{name}`" for name in entry.cases)
        lines.append(f"| {backends} | {cases} | {entry.instead} | {entry.reason} |")
    return "\n".join(lines)
