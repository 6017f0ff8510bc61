"""``executor verify``: is each triplet a sound task?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from executor.cli import options as opt
from executor.cli.batch import disagreement_fields, signal_fields, usage_fields, weakness_fields
from executor.cli.io.rows import Fields, Row, read_triplet
from executor.cli.io.source import Line
from executor.cli.io.summary import VerifyTally
from executor.cli.session import process
from executor.errors import MalformedRow
from executor.models import Limits, Rules, Status, Triplet, Verdict

if TYPE_CHECKING:
    from executor.api.protocol import ExecutorProtocol


@opt.with_row_limits
@opt.with_row_options
def verify(
    given: opt.RowOptions,
    *,
    error_task: opt.ErrorTask = False,
    runs: opt.Runs = 2,
    no_default_bans: opt.NoDefaultBans = False,
    min_parameters: opt.MinParameters = 1,
    limits: Limits,
) -> int:
    """Validate triplets: does each program run, and give the same value every time?

    A row is a JSON object: **program** (or snippet, or code), optional **imports**, and **input**
    with an optional **output**, or lists **inputs** and **outputs**. A row with "task": "error"
    is error deduction. Every row gets one line of JSON, in row order; keys that mean nothing here
    are carried along to it.

    **Example:** `executor verify triplets.jsonl --out verdicts.jsonl`
    """
    banned = () if no_default_bans else opt.RULES.banned_modules
    rules = given.rules(Rules(banned_modules=banned, min_parameters=min_parameters))
    options = given.executor(limits, rules=rules, runs=runs)
    tally = VerifyTally()
    return process(given, options, tally, lambda executor: VerifyJob(executor, tally, error_task))


class VerifyJob:
    """Rows to verdicts."""

    def __init__(self, executor: ExecutorProtocol, tally: VerifyTally, error_task: bool) -> None:
        self._executor = executor
        self._tally = tally
        self._error_task = error_task

    def read(self, line: Line, index: int) -> Row[Triplet]:
        """The triplet of one line."""
        return read_triplet(line, index, error_task=self._error_task)

    def results(self, items: AsyncIterator[Triplet]) -> AsyncGenerator[Verdict]:
        """The verdicts on ``items``, as they finish."""
        return self._executor.validate_many(items, ordered=False)

    def finished(self, row: Row[Triplet], result: Verdict) -> Fields:
        """Count the verdict; returns its fields."""
        self._tally.note(row.size, result)
        return {
            **_fields(result),
            "backend": result.backend,
            "interpreter": result.interpreter,
            **weakness_fields(result.weaknesses),
            **disagreement_fields(result),
        }

    def malformed(self, row: Row[Triplet], error: MalformedRow) -> Fields:
        """The same for a row that could not be read."""
        verdict = Verdict(status=Status.MALFORMED, valid=False, detail=str(error))
        self._tally.note(row.size, verdict)
        return _fields(verdict)


def _fields(verdict: Verdict) -> Fields:
    return {
        "status": verdict.status,
        "valid": verdict.valid,
        "outputs": verdict.outputs,
        "matches": verdict.matches,
        "detail": verdict.detail,
        **signal_fields(verdict.signals),
        "usage": usage_fields(verdict.usage),
        "key": verdict.key,
    }
