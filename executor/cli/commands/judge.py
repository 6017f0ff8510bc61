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
from executor.cli.make_executor import ExecutorOptions
from executor.cli.session import BatchOptions, process
from executor.errors import MalformedRow
from executor.models import JUDGE_RULES, Judgement, JudgeTask, Limits, Status

if TYPE_CHECKING:
    from executor.api.protocol import ExecutorProtocol


@opt.with_row_limits
def judge(
    file: opt.Rows,
    *,
    out: opt.Out = None,
    scoring: opt.DefaultScoring = opt.Scoring.BINARY,
    strict: opt.Strict = False,
    backend: opt.Backends = "nsjail",
    url: opt.Url = None,
    image: opt.Image = None,
    runtime: opt.Runtime = None,
    libraries: opt.Libraries = None,
    workers: opt.Workers = None,
    host_processes: opt.HostProcesses = None,
    store: opt.Store = None,
    store_key: opt.StoreKey = None,
    quiet: opt.Quiet = False,
    ban_module: opt.BanModule = None,
    ban_keyword: opt.BanKeyword = None,
    max_source_bytes: opt.MaxSourceBytes = opt.RULES.max_source_bytes,
    max_depth: opt.MaxDepth = opt.RULES.max_depth,
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
    bounds = {"max_source_bytes": max_source_bytes, "max_depth": max_depth}
    base = JUDGE_RULES.model_copy(update=bounds)
    tally = JudgeTally()
    batch = BatchOptions(
        command="judge",
        file=file,
        out=out,
        quiet=quiet,
        engine=ExecutorOptions(
            backend=backend,
            url=url,
            image=image,
            runtime=runtime,
            libraries=libraries,
            workers=workers,
            limits=limits,
            host_processes=host_processes,
            store=store,
            store_key=store_key,
            judge_rules=opt.rules(base, ban_module, ban_keyword),
        ),
    )
    return process(batch, tally, lambda executor: JudgeJob(executor, tally, scoring, strict))


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
