"""Scores of answers, and what several tests of one answer come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from executor.models import Case, JudgeTask, Signal, Status, Usage
from executor.pool.engine import NO_SIGNALS, CallOutcome

_MAX_DETAIL = 1000


class Scored(NamedTuple):
    """One answer's score; ``None`` if the platform failed."""

    score: float | None
    status: Status
    detail: str
    signals: frozenset[Signal] = NO_SIGNALS
    passed: int = 0
    """Tests: how many were passed..."""
    total: int = 0
    """... of how many."""
    cases: tuple[Case, ...] = ()
    """The outcome of each of them, if that is wanted."""


class Broken(Exception):
    """The task itself cannot be used; every answer gets this outcome."""

    def __init__(self, outcome: CallOutcome) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


def malformed(detail: str) -> Broken:
    """The task is not what it should be."""
    return Broken(CallOutcome(Status.MALFORMED, detail=detail))


class Tested(NamedTuple):
    """The outcome of one test of a program."""

    status: Status
    """``ok``: it was passed."""
    detail: str = ""
    usage: Usage = Usage()


def failed(outcome: CallOutcome) -> Scored:
    """The score of an answer that comes to nothing."""
    return Scored(None if outcome.status is Status.INFRA else 0.0, outcome.status, outcome.detail)


def goes_on(task: JudgeTask) -> bool:
    """Whether tests are of interest after the first one that fails."""
    return task.all_tests or task.scoring != "binary"


def summed_up(
    task: JudgeTask,
    tested: Sequence[Tested],
    total: int,
    signals: frozenset[Signal] = NO_SIGNALS,
    what: str = "tests",
) -> Scored:
    """The score of a program by its tests, of which those after a first failure may be missing."""
    lost = next((one for one in tested if one.status is Status.INFRA), None)
    passed = sum(one.status is Status.OK for one in tested)
    cases = tuple(Case(**one._asdict()) for one in tested) if task.cases else ()
    if lost is not None:
        return Scored(None, lost.status, lost.detail, signals, passed, total, cases)
    share = passed / total
    enough = passed > 0 if task.scoring == "any" else passed == total
    score = share if task.scoring == "fraction" else float(enough)
    detail = f"{passed} of {total} {what} passed"
    if enough:
        return Scored(score, Status.OK, detail, signals, passed, total, cases)
    number, first = next((n, one) for n, one in enumerate(tested, 1) if one.status is not Status.OK)
    if not goes_on(task):
        detail = f"{passed} of {total} {what} passed before one failed"
    detail = f"{detail}; number {number}: {first.detail}"
    return Scored(
        score, first.status, shortened(detail, _MAX_DETAIL), signals, passed, total, cases
    )


def shortened(text: str, limit: int = 200) -> str:
    """A text that is not too long for a sentence."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
