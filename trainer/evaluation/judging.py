"""Judging what was generated: by the executor's tasks, and nothing of it here."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from pydantic import ValidationError

from executor import InputError, Judgement, JudgeTask, Status
from trainer.evaluation.answers import answer_of
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.problems import Problem
from trainer.evaluation.store import Line, Lines

NO_ANSWER = "no_answer"
"""The status of a response that has nothing to judge: score 0."""
_TOGETHER_S = 1.0
"""Verdicts of so many seconds are written together."""
_LONGEST_DETAIL = 1000


class Judging(Protocol):
    """What judging needs of an executor."""

    def judge_many(
        self, tasks: AsyncIterator[JudgeTask], *, ordered: bool
    ) -> AsyncGenerator[Judgement, None]:
        """Judge a stream of tasks; each judgement's ``index`` is its position."""
        ...


@dataclass(slots=True)
class _Asked:
    """A problem whose answers are being judged."""

    problem: Problem
    answers: list[str | None]
    """By sample."""
    cut: int


async def judge(
    problems: Iterable[Problem],
    generations: Lines,
    verdicts: Lines,
    executor: Judging,
    *,
    note: Callable[[int], None] = lambda _: None,
    conditions: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Judge all that is generated and not judged; returns the number of problems that the platform
    failed on, which have no verdict and are judged again next time.

    ``note`` is told of problems that are done; ``conditions`` are noted with each verdict. Texts
    are read from the file as they are needed.
    """
    asked: dict[int, _Asked] = {}
    without: list[Line] = []

    async def tasks() -> AsyncIterator[JudgeTask]:
        number = 0
        for problem in problems:
            one = _asked(problem, generations, verdicts)
            if one is None:
                continue
            answers = [answer for answer in one.answers if answer is not None]
            if not answers:
                without.append(_line(one, None))
                continue
            asked[number] = one
            number += 1
            yield task_of(problem, answers)

    failed = 0
    waiting: list[Line] = []
    written = time.monotonic()
    async with aclosing(executor.judge_many(tasks(), ordered=False)) as judgements:
        async for judgement in judgements:
            one = asked.pop(judgement.index)
            if Status.INFRA in judgement.statuses:
                failed += 1
                continue
            waiting.append(_line(one, judgement) | dict(conditions))
            if time.monotonic() - written > _TOGETHER_S:
                verdicts.append(waiting)
                note(len(waiting))
                waiting, written = [], time.monotonic()
    verdicts.append([*waiting, *without])
    note(len(waiting) + len(without))
    return failed


def _asked(problem: Problem, generations: Lines, verdicts: Lines) -> _Asked | None:
    if problem.key in verdicts:
        return None
    line = generations.get(problem.key)
    if line is None:
        return None
    cut = sum(bool(text.get("cut")) for text in line["texts"])
    return _Asked(problem, answers_of(problem, line), cut)


def answers_of(problem: Problem, line: Line) -> list[str | None]:
    """The answers in what was generated for a problem; ``None`` where there is none."""
    return [answer_of(problem, text["text"]) for text in line["texts"]]


def task_of(problem: Problem, answers: list[str]) -> JudgeTask:
    """The task that judges answers. Raises :class:`EvaluationError`: the problem has no tests."""
    try:
        return problem.task(answers)
    except (InputError, ValidationError) as error:
        raise EvaluationError(
            f"{problem.benchmark}, {problem.id}: its tests cannot be read: {error}"
        ) from None


def _line(one: _Asked, judgement: Judgement | None) -> Line:
    """A line of the file of verdicts: by sample score, status and detail."""
    line: Line = {
        "benchmark": one.problem.benchmark,
        "id": one.problem.id,
        "scores": [],
        "statuses": [],
        "details": [],
        "cut": one.cut,
        "attributes": dict(one.problem.attributes),
    }
    place = 0
    for answer in one.answers:
        if answer is None or judgement is None:
            found: tuple[Any, ...] = (0.0, NO_ANSWER, "there is no answer in the response")
        else:
            detail = judgement.details[place][:_LONGEST_DETAIL]
            found = (judgement.scores[place], str(judgement.statuses[place]), detail)
            place += 1
        for name, value in zip(("scores", "statuses", "details"), found, strict=True):
            line[name].append(value)
    if judgement is not None:
        line |= {
            "key": judgement.key,
            "weak": judgement.weak,
            "signals": {str(name): count for name, count in judgement.signals.items()},
            "backend": judgement.backend,
            "interpreter": judgement.interpreter,
        }
    return line
