"""Seed files in AZR's jsonl format: read, validated anew, and written.

A row that the executor refuses is reported and left out, whoever made it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from trainer.files import write_atomically
from trainer.game.errors import SeedError
from trainer.game.play.judging import Examined, TaskJudge
from trainer.game.tasks.task import (
    InductionTask,
    MalformedTask,
    Task,
    TaskType,
    task_from_json,
)


class Refusal(NamedTuple):
    """A row that is no seed."""

    row: int
    """Number of the row, from 1."""
    status: str
    """``malformed``, ``duplicate``, or what the executor says."""
    detail: str


@dataclass(frozen=True, slots=True)
class SeedReport:
    """The result of loading a seed set."""

    source: str
    tasks: tuple[Task, ...]
    refused: tuple[Refusal, ...] = field(default=())

    def summary(self) -> str:
        """A sentence for people."""
        if not self.refused:
            return f"{self.source}: {len(self.tasks)} seeds"
        reasons = Counter(refusal.status for refusal in self.refused)
        listed = ", ".join(f"{count} {status}" for status, count in reasons.most_common())
        return (
            f"{self.source}: {len(self.tasks)} seeds; {len(self.refused)} rows left out ({listed})"
        )


def read_rows(path: Path) -> tuple[list[tuple[int, Task]], list[Refusal]]:
    """The tasks of a file in AZR's jsonl format, by row, and the rows that are none.

    Raises:
        SeedError: the file cannot be read, or holds no task.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SeedError(f"the seed file {path} cannot be read: {error}") from error
    rows: list[tuple[int, Task]] = []
    refused = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append((number, task_from_json(json.loads(line)).at_step(0)))
        except (json.JSONDecodeError, RecursionError) as error:
            refused.append(Refusal(number, "malformed", f"no JSON: {error}"))
        except MalformedTask as error:
            refused.append(Refusal(number, "malformed", str(error)))
    if not rows:
        reason = f"; the first row: {refused[0].detail}" if refused else ""
        raise SeedError(f"the seed file {path} holds no task{reason}")
    return rows, refused


def load_seeds(path: Path, task_type: TaskType, judge: TaskJudge) -> SeedReport:
    """The sound tasks of a seed file, each once, with outputs as the executor writes them.

    ``task_type``: any of deduction and abduction for programs with one input, which are the same.

    Raises:
        SeedError: the file cannot be read, or holds no sound task of this type.
        ExecutorLost: the executor cannot be reached.
    """
    rows, refused = read_rows(path)
    wants_induction = task_type is TaskType.INDUCTION
    known: set[str] = set()
    pending: list[tuple[int, Future[Examined]]] = []
    for number, task in rows:
        if isinstance(task, InductionTask) != wants_induction:
            wanted = "several inputs" if wants_induction else "one input"
            refused.append(Refusal(number, "malformed", f"wanted is a task with {wanted}"))
        elif task.key in known:
            refused.append(Refusal(number, "duplicate", "the same program and input stand above"))
        else:
            known.add(task.key)
            pending.append((number, judge.revalidate(task_type, task)))
    tasks: list[Task] = []
    for number, future in pending:
        examined = future.result()
        if examined.task is not None:
            tasks.append(examined.task)
        else:
            refused.append(Refusal(number, examined.status, examined.detail))
    refused.sort()
    if not tasks:
        raise SeedError(f"the seed file {path} holds no sound task: {refused[0].detail}")
    return SeedReport(str(path), tuple(tasks), tuple(refused))


def write_seeds(path: Path, tasks: Iterable[Task]) -> None:
    """Write tasks in AZR's jsonl format; the file is there as a whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for task in tasks:
        row = task.to_json()
        del row["step"]
        rows.append(json.dumps(row) + "\n")
    write_atomically(path, "".join(rows))
