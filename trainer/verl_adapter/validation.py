"""Validation during training: benchmark tasks, solved greedily and judged like all others.

Rows have AZR's columns: ``data_source``, ``problem`` (the program), and ``extra_info`` with
``metric`` (``pred_code_i``...), ``imports``, and ``input`` and ``output``, or ``inputs``,
``outputs`` and ``message``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from trainer.game.drawing import Drawer
from trainer.game.errors import GameError
from trainer.game.judging import TaskJudge
from trainer.game.parsing import Malformed, extract_answer, is_well_formed, parse_solution
from trainer.game.policy import Policy, Request, Response
from trainer.game.settings import GameSettings
from trainer.game.tasks import Kind, MalformedTask, Task, task_from_json


class BenchmarkError(GameError):
    """A validation file cannot be used."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A benchmark task."""

    source: str
    """The benchmark's name: ``cruxeval_i``..."""
    kind: Kind
    task: Task


def read(path: Path) -> list[Problem]:
    """The problems of a parquet or jsonl file.

    Raises:
        BenchmarkError: it cannot be read, or a row is no problem; names the row.
    """
    try:
        rows = _rows(path)
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"the validation file {path} cannot be read: {error}") from error
    problems = []
    for number, row in enumerate(rows, 1):
        try:
            problems.append(_problem(row))
        except (KeyError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, MalformedTask) else repr(error)
            raise BenchmarkError(f"{path}, row {number} is no problem: {reason}") from error
    if not problems:
        raise BenchmarkError(f"the validation file {path} has no rows")
    return problems


def _rows(path: Path) -> list[Any]:
    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: PLC0415 - part of the trainer extra

        rows: list[Any] = pyarrow.parquet.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _problem(row: Mapping[str, Any]) -> Problem:
    info = {key: value for key, value in row["extra_info"].items() if value is not None}
    info.setdefault("imports", [])
    return Problem(
        source=str(row["data_source"]),
        kind=Kind.of(info["metric"]),
        task=task_from_json({**info, "snippet": row["problem"]}),
    )


def evaluate(
    problems: Sequence[Problem],
    policy: Policy,
    judge: TaskJudge,
    drawer: Drawer,
    settings: GameSettings,
) -> dict[str, float]:
    """Metrics under AZR's names; a problem whose prompt is too long counts as not solved."""
    asked = {f"problem-{number}": problem for number, problem in enumerate(problems)}
    requests = []
    for name, problem in asked.items():
        messages = drawer.book.solve(problem.kind.task, problem.task)
        if drawer.fits(messages):
            requests.append(Request(name, problem.kind, messages, train=False, temperature=0.0))
    well_formed = dict.fromkeys(asked, False)
    pending = {}
    for response in policy.generate(requests):
        problem = asked[response.request_id]
        well_formed[response.request_id] = is_well_formed(response.text, settings.reward_fn.style)
        solution = _solution(response, problem, settings)
        if isinstance(solution, str):
            pending[response.request_id] = judge.judge(problem.kind.task, problem.task, [solution])
    scores: dict[str, float | None] = dict.fromkeys(asked, 0.0)
    for name, judged in pending.items():
        scores[name] = judged.result().scores[0] if well_formed[name] else 0.0
    return _metrics(asked, scores, well_formed)


def _solution(response: Response, problem: Problem, settings: GameSettings) -> str | Malformed:
    reward_fn = settings.reward_fn
    answer = extract_answer(response.text, reward_fn.style, boxed_retry=reward_fn.boxed_retry)
    extract = settings.azr.reward.extract_code_block
    return parse_solution(answer, problem.kind.task, extract_code_block=extract)


def _metrics(
    asked: Mapping[str, Problem],
    scores: Mapping[str, float | None],
    well_formed: Mapping[str, bool],
) -> dict[str, float]:
    """AZR calls a score ``none`` where the executor gave no verdict."""
    by_source: dict[str, list[float]] = defaultdict(list)
    for name, problem in asked.items():
        by_source[problem.source].append(scores[name] or 0.0)
    nones = sum(score is None for score in scores.values())
    return {
        **{f"val/test_score/{source}": fmean(values) for source, values in by_source.items()},
        "val/accuracy": fmean(score or 0.0 for score in scores.values()),
        "val/format_score": fmean(map(float, well_formed.values())),
        "val/none_count": float(nones),
        "val/none_ratio": nones / len(scores),
    }
