"""``executor judge``: what is each answer worth?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, cast

from executor.cli import options as opt
from executor.cli.batch import (
    disagreement_fields,
    signal_fields,
    test_fields,
    usage_fields,
    weakness_fields,
)
from executor.cli.io.rows import Fields, Row, read_judge_task
from executor.cli.io.source import Line
from executor.cli.io.summary import JudgeTally
from executor.cli.session import process
from executor.errors import MalformedRow
from executor.models import JUDGE_RULES, Judgement, JudgeTask, Limits, Status

if TYPE_CHECKING:
    from executor.api.protocol import ExecutorProtocol


@opt.with_row_limits
@opt.with_row_options
def judge(
    given: opt.RowOptions,
    *,
    scoring: opt.DefaultScoring = opt.Scoring.BINARY,
    strict: opt.Strict = False,
    limits: Limits,
) -> int:
    """Score answers: each between 0 and 1, or null where the platform failed.

    A row is a JSON object: **task** (deduction, abduction, induction, error, or for programs and
    their tests call, stdio, assert, pytest; see docs/tests.md), **answers** (a list of texts; for
    induction and tests programs), and the task itself as for verify: **program**,
    **imports**, and **input** with **output**, or the hidden **inputs** with **outputs**.
    **scoring** and **strict** in a row take precedence over the options. Every row gets one line
    of JSON, in row order.

    **Example:** `executor judge answers.jsonl --out scores.jsonl`
    """
    options = given.executor(limits, judge_rules=given.rules(JUDGE_RULES))
    tally = JudgeTally()
    return process(
        given, options, tally, lambda executor: JudgeJob(executor, tally, scoring, strict)
    )


class JudgeJob:
    """Rows to scores."""

    def __init__(
        self, executor: ExecutorProtocol, tally: JudgeTally, scoring: str, strict: bool
    ) -> None:
        self._executor = executor
        self._tally = tally
        self._scoring = scoring
        self._strict = strict

    def read(self, line: Line, index: int) -> Row[JudgeTask]:
        """The task of one line."""
        return read_judge_task(line, index, scoring=self._scoring, strict=self._strict)

    def results(self, items: AsyncIterator[JudgeTask]) -> AsyncGenerator[Judgement]:
        """The scores of ``items``, as they finish."""
        return self._executor.judge_many(items, ordered=False)

    def finished(self, row: Row[JudgeTask], result: Judgement) -> Fields:
        """Count the scores; returns the fields of the result."""
        task = cast(JudgeTask, row.item)
        self._tally.note(row.size, task, result)
        return {
            "task": task.task,
            "scores": result.scores,
            "statuses": result.statuses,
            "details": result.details,
            **test_fields(result),
            **signal_fields(result.signals),
            "usage": usage_fields(result.usage),
            "key": result.key,
            "backend": result.backend,
            "interpreter": result.interpreter,
            **weakness_fields(result.weaknesses),
            **disagreement_fields(result),
        }

    def malformed(self, row: Row[JudgeTask], error: MalformedRow) -> Fields:
        """The same for a row that could not be read."""
        self._tally.note_malformed(row.size)
        return {
            "status": Status.MALFORMED,
            "scores": (),
            "statuses": (),
            "details": (str(error),),
        }
