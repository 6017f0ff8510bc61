"""The attacks of the suite: what one is, and how to write one.

A category is a module with a tuple ``CASES`` of :class:`Case`. A case holds the attack as a plain
text, the outcomes it may have, and a check of what it found::

    CASES = (
        verify("G", 116, "exit-before-the-check", "Leaves before there is a value.",
            '''
            def f(x):
                raise SystemExit(0)
            ''', Status.ERROR),
        judge("G", 120, "equal-to-everything", "The answer's ``__eq__`` says yes to all.",
            JudgeTask(task="deduction", ..., answers=(...)), Status.UNSERIALIZABLE,
            check=scores(0.0)),
        script("C", 50, "write-to-the-image", "Writes to directories of the image.",
            '''
            print(open('/usr/x', 'w'))
            ''', Status.ERROR),
    )

``runs.py`` runs each on a backend, with honest neighbours beside it and after it on the same
workers; ``test_attacks*`` look at what came out, one test for each case and backend.
Names say what is tried or what comes of it; they are unique in the whole suite.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

from executor import (
    Judgement,
    JudgeTask,
    Rules,
    Script,
    ScriptResult,
    Status,
    Triplet,
    Verdict,
)

OPEN = Rules(banned_modules=(), min_parameters=0, max_source_bytes=1 << 20, max_depth=200)
"""Screening out of the way: what is tested is the sandbox."""

CATEGORIES = {
    "A": "resources",
    "B": "process tree and lifetime",
    "C": "file system",
    "D": "network and communication",
    "E": "kernel surface",
    "F": "information",
    "G": "verdict forging",
    "H": "service",
}
_MODULES = {
    "A": "resources", "B": "processes", "C": "files",
    "D": "network", "E": "kernel", "F": "information",
    "G": "forging",
}  # fmt: skip

Item = Triplet | JudgeTask | Script
Result = Verdict | Judgement | ScriptResult
Check = Callable[[Any], None]
"""Looks at a result, which is of the item's kind; raises AssertionError."""


@dataclass(frozen=True)
class Case:
    """One attack."""

    name: str
    """Words with hyphens; unique."""
    category: str
    """A key of :data:`CATEGORIES`."""
    number: int
    """Its number in the survey that the suite began with; 0 for an attack that is not there."""
    why: str
    """What it tries, one plain sentence for the table."""
    item: Item
    expected: frozenset[Status]
    """What it may end as; of a judge task each of its answers. Empty if it must be refused."""
    expected_on: Mapping[str, frozenset[Status]] = field(default_factory=dict)
    """The same for a backend (by name) where that differs. ``service`` is as ``nsjail``."""
    check: Check | None = None
    """What else must hold, on every backend."""
    check_on: Mapping[str, Check | None] = field(default_factory=dict)
    """In place of ``check`` on a backend."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Fields of ``Limits`` that are smaller than those of all cases (``runs.LIMITS``)."""
    rules: Rules = OPEN
    refused: str = ""
    """Words of the ``InputError`` that the call must raise in place of a result."""
    alone: bool = False
    """It uses so much that no other attack may run beside it (its honest neighbours do)."""

    def allowed(self, backend: str) -> frozenset[Status]:
        """The statuses that it may end as on a backend."""
        return self.expected_on.get(_like(backend), self.expected)

    def verify(self, backend: str, result: Result) -> None:
        """Raise AssertionError if the result is not what must come of it."""
        statuses = statuses_of(result)
        unexpected = set(statuses) - self.allowed(backend)
        assert not unexpected, f"{', '.join(statuses)}: {explain(result)}"
        check = self.check_on.get(_like(backend), self.check)
        if check is not None:
            check(result)


def _like(backend: str) -> str:
    return "nsjail" if backend == "service" else backend


def statuses_of(result: Result) -> tuple[Status, ...]:
    """The status, or of a judgement those of all answers."""
    return result.statuses if isinstance(result, Judgement) else (result.status,)


def explain(result: Result) -> str:
    """A result's own words, for a failing test."""
    if isinstance(result, Judgement):
        return f"{result.scores} {'; '.join(result.details)}"
    if isinstance(result, Verdict):
        return f"{result.outputs} {result.detail}"
    return f"{result.detail} {result.stdout[-600:]!r} {result.stderr[-600:]!r}"


# ---- writing cases -----------------------------------------------------------------------------


def verify(
    category: str,
    number: int,
    name: str,
    why: str,
    program: str,
    *expected: Status,
    inputs: tuple[str, ...] = ("1",),
    outputs: tuple[str | None, ...] | None = None,
    prelude: str = "",
    **more: Any,
) -> Case:
    """A program that is validated; ``more`` are fields of :class:`Case`."""
    source = dedent(prelude) + dedent(program).strip("\n")
    item = Triplet(program=source, inputs=inputs, outputs=outputs)
    return Case(name, category, number, why, item, frozenset(expected), **more)


def judge(
    category: str, number: int, name: str, why: str, task: JudgeTask, *expected: Status, **more: Any
) -> Case:
    """A task whose answers are judged; ``expected`` are the statuses that any answer may get."""
    return Case(name, category, number, why, task, frozenset(expected), **more)


def script(
    category: str,
    number: int,
    name: str,
    why: str,
    source: str,
    *expected: Status,
    settings: Mapping[str, Any] | None = None,
    prelude: str = "",
    **more: Any,
) -> Case:
    """A general Python script; ``settings`` are other fields of :class:`executor.Script`."""
    text = dedent(prelude) + dedent(source).strip("\n")
    item = Script(source=text, **(settings or {}))
    return Case(name, category, number, why, item, frozenset(expected), **more)


def outputs(*expected: str) -> Check:
    """A check: the verdict has these outputs, as literal texts."""

    def check(result: Verdict) -> None:
        assert result.outputs == expected, explain(result)

    return check


def scores(*expected: float) -> Check:
    """A check: the answers have these scores."""

    def check(result: Judgement) -> None:
        assert result.scores == expected, explain(result)

    return check


def statuses(*expected: Status) -> Check:
    """A check: the answers have these statuses, in this order."""

    def check(result: Judgement) -> None:
        assert result.statuses == expected, explain(result)

    return check


def prints(*lines: str) -> Check:
    """A check: these lines, and no others, are on the script's stdout."""

    def check(result: ScriptResult) -> None:
        assert result.stdout.decode(errors="replace").splitlines() == list(lines), explain(result)

    return check


def says(*parts: str) -> Check:
    """A check: each of these is in the result's detail, or on the script's stderr."""

    def check(result: Result) -> None:
        text = explain(result)
        assert all(part in text for part in parts), text

    return check


def hides(*secrets: str) -> Check:
    """A check: none of these texts is anywhere in the result."""

    def check(result: Result) -> None:
        text = repr(result)
        assert not [secret for secret in secrets if secret in text], explain(result)

    return check


def both(*checks: Check) -> Check:
    """A check: all of these."""

    def check(result: Result) -> None:
        for each in checks:
            each(result)

    return check


# ---- all of them -------------------------------------------------------------------------------


def all_cases() -> list[Case]:
    """Every case of every category, in the order of the categories; names are unique."""
    cases: list[Case] = []
    for module in _MODULES.values():
        cases += importlib.import_module(f"tests.security.cases.{module}").CASES
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), sorted(n for n in set(names) if names.count(n) > 1)
    return cases
