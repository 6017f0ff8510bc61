"""Probes: something that is run in the sandbox, and how it has to end.

Every attempt is made so that it does no harm where it succeeds, and ends by itself: a doctor must
not hurt a patient whose walls are missing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from executor.doctor.canaries import Canaries
from executor.models import Limits, Script, Status, Triplet

LIMITS = Limits(wall_s=20, cpu_s=10, memory_mib=128, output_kib=64, processes=16, files_mib=8)
"""Limits of a probe, or lower ones if the executor allows less."""
_LONGEST = 300


class Seen(NamedTuple):
    """The end of a run."""

    status: Status
    text: str
    """The value's literal text; of a script what it printed, without white space at the ends."""
    detail: str

    def __str__(self) -> str:
        said = self.text if self.status is Status.OK else self.detail
        return _cut(f"{self.status}: {said}" if said else str(self.status))


@dataclass(frozen=True)
class Expect:
    """The ends that a run may have, and the text that it must give if it ends well."""

    statuses: tuple[Status, ...]
    text: str | None = None

    def met(self, seen: Seen) -> bool:
        """Whether it ended so."""
        if seen.status is Status.OK and self.text is not None and seen.text != self.text:
            return False
        return seen.status in self.statuses

    def __str__(self) -> str:
        told = [
            f"{status}: {self.text}" if status is Status.OK and self.text is not None else status
            for status in self.statuses
        ]
        return " or ".join(told)


@dataclass(frozen=True)
class Step:
    """One run of a probe."""

    item: Triplet | Script
    expect: Expect | None
    """``None``: it only prepares for what comes after."""
    limits: Limits = LIMITS


Steps = Callable[[Canaries], tuple[Step, ...]]


@dataclass(frozen=True)
class Probe:
    """A limit, a wall or another promise, and how it is tried."""

    name: str
    """By which it is waived; names of scripts' probes begin with ``script-``."""
    tries: str
    """The attempt, in words for people."""
    steps: Steps = field(repr=False)
    """Runs, one after the other; all that expect something have to end so."""
    mend: str
    """Advice for when it does not hold."""
    slow: bool = False
    """Whether it takes a second or more: a service tries it right after it is ready."""
    shares: str = ""
    """Its one script harms no other in the same process, and may run together with those of the
    probes that have the same word here; empty: it runs alone."""


class State(StrEnum):
    """The result of a probe in one word."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_PROMISED = "not promised"
    UNKNOWN = "unknown"
    """The platform failed, or time ran out before anything was found out."""
    WAIVED = "waived"
    """It fails or is unknown, and whoever asked has said that it may."""


class ProbeResult(NamedTuple):
    """The findings of a probe."""

    name: str
    state: State
    tried: str
    expected: str
    happened: str
    """The ends of its runs; empty if it was not tried."""
    advice: str
    """The way to mend what fails; the reason why something is not promised."""


def program(*lines: str, expect: Expect | None, limits: Limits = LIMITS, head: str = "") -> Step:
    """A verified program: the lines of ``f(x)``. Results are remembered, so no two are the same."""
    body = "".join(f"    {line}\n" for line in lines)
    source = f"{head}def f(x):\n{body}# {secrets.token_hex(8)}\n"
    return Step(Triplet(program=source, inputs=("1",)), expect, limits)


def script(source: str, *, expect: Expect | None, limits: Limits = LIMITS) -> Step:
    """A general script in Python."""
    return Step(Script(source=source), expect, limits)


def ends(*statuses: Status) -> Expect:
    """It has to end in one of these ways."""
    return Expect(statuses)


def says(text: str, *others: Status) -> Expect:
    """It has to end well with this text, or in one of the other ways."""
    return Expect((Status.OK, *others), text)


def fixed(*steps: Step) -> Steps:
    """Steps that do not depend on the host."""
    return lambda _: steps


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."
