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
from typing import Any, NamedTuple

from trainer.game.errors import GameError
from trainer.game.play.drawing import Drawer
from trainer.game.play.judging import TaskJudge
from trainer.game.policy import Policy, Request, Response
from trainer.game.settings import GameSettings
from trainer.game.tasks.task import Kind, MalformedTask, Task, task_from_json
from trainer.game.texts.parsing import Malformed, extract_answer, is_well_formed, parse_solution


class BenchmarkError(GameError):
    """A file of benchmark rows cannot be used; the text says why."""


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
        import pyarrow.parquet

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
    """Metrics under AZR's names, of greedy answers; a problem whose prompt is too long counts as
    not solved.

    If ``azr.validation_samples`` is not 0, also the share of right answers among so many of each
    problem, drawn at temperature 1: how good the model is as it plays.
    """
    asked = {f"problem-{number}": problem for number, problem in enumerate(problems)}
    samples = settings.azr.validation_samples
    metrics = _metrics(asked, _solve(asked, policy, judge, drawer, settings, samples=None))
    if samples:
        found = _solve(asked, policy, judge, drawer, settings, samples=samples)
        metrics |= _sampled_metrics(asked, found, samples)
    return metrics


class _Answer(NamedTuple):
    well_formed: bool
    score: float | None
    """``None``: the executor gave no verdict."""


def _solve(
    asked: Mapping[str, Problem],
    policy: Policy,
    judge: TaskJudge,
    drawer: Drawer,
    settings: GameSettings,
    *,
    samples: int | None,
) -> dict[str, list[_Answer]]:
    """Answers by problem, at temperature 1 or (``None``) one that is greedy; none where the prompt
    is too long."""
    requests = []
    for name, problem in asked.items():
        messages = drawer.book.solve(problem.kind.task, problem.task)
        if drawer.fits(messages):
            temperature = 1.0 if samples else 0.0
            requests.append(
                Request(
                    name, problem.kind, messages,
                    n=samples or 1, train=False, temperature=temperature,
                )
            )  # fmt: skip
    pending = []
    for response in policy.generate(requests):
        problem = asked[response.request_id]
        well_formed = is_well_formed(response.text, settings.reward_fn.style)
        solution = _solution(response, problem, settings)
        verdict = None
        if isinstance(solution, str):
            verdict = judge.judge(problem.kind.task, problem.task, [solution])
        pending.append((response.request_id, well_formed, verdict))
    found: dict[str, list[_Answer]] = {name: [] for name in asked}
    for name, well_formed, verdict in pending:
        score = verdict.result().scores[0] if verdict else 0.0
        found[name].append(_Answer(well_formed, score if well_formed else 0.0))
    return found


def _solution(response: Response, problem: Problem, settings: GameSettings) -> str | Malformed:
    reward_fn = settings.reward_fn
    answer = extract_answer(response.text, reward_fn.style, boxed_retry=reward_fn.boxed_retry)
    extract = settings.azr.reward.extract_code_block
    return parse_solution(answer, problem.kind.task, extract_code_block=extract)


def _metrics(
    asked: Mapping[str, Problem], found: Mapping[str, Sequence[_Answer]]
) -> dict[str, float]:
    """AZR calls a score ``none`` where the executor gave no verdict."""
    answers = {name: found[name][0] if found[name] else _Answer(False, 0.0) for name in asked}
    by_source: dict[str, list[float]] = defaultdict(list)
    for name, problem in asked.items():
        by_source[problem.source].append(answers[name].score or 0.0)
    nones = sum(answer.score is None for answer in answers.values())
    return {
        **{f"val/test_score/{source}": fmean(values) for source, values in by_source.items()},
        "val/accuracy": fmean(answer.score or 0.0 for answer in answers.values()),
        "val/format_score": fmean(float(answer.well_formed) for answer in answers.values()),
        "val/none_count": float(nones),
        "val/none_ratio": nones / len(answers),
    }


def _sampled_metrics(
    asked: Mapping[str, Problem], found: Mapping[str, Sequence[_Answer]], samples: int
) -> dict[str, float]:
    by_source: dict[str, list[float]] = defaultdict(list)
    for name, problem in asked.items():
        by_source[problem.source].append(sum(a.score or 0.0 for a in found[name]) / samples)
    return {
        **{f"val/sampled_score/{source}": fmean(values) for source, values in by_source.items()},
        "val/sampled_accuracy": fmean(share for shares in by_source.values() for share in shares),
    }
