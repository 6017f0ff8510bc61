"""The file that ``python -m executor replay`` judges again: tasks, answers and their scores.

It stands for itself: neither the benchmarks' files nor this package are needed to replay it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from trainer.evaluation.judging import NO_ANSWER, answers_of, task_of
from trainer.evaluation.problems import Problem
from trainer.evaluation.report import Side
from trainer.evaluation.store import Line
from trainer.files import replaced

NAME = "replay.jsonl.gz"


def write(folder: Path, side: Side, problems: Iterable[Problem]) -> Path:
    """Write a line for each problem with a verdict of the executor; returns the file's path."""
    path = folder / side.name / NAME
    with replaced(path) as part, gzip.open(part, "wb", compresslevel=1) as file:
        for line in _lines(side, problems):
            file.write(json.dumps(line).encode() + b"\n")
    return path


def _lines(side: Side, problems: Iterable[Problem]) -> Iterator[Line]:
    for problem in problems:
        verdict, written = side.verdicts.get(problem.key), side.generations.get(problem.key)
        if verdict is None or written is None or "key" not in verdict:
            continue
        answers = [answer for answer in answers_of(problem, written) if answer is not None]
        task = task_of(problem, answers)
        judged = zip(verdict["scores"], verdict["statuses"], strict=True)
        yield {
            "key": verdict["key"],
            "task": task.model_dump(mode="json", exclude_defaults=True),
            "scores": [score for score, status in judged if status != NO_ANSWER],
            "limits": verdict.get("limits"),
            "libraries": verdict.get("libraries"),
        }
