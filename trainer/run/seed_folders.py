"""Folders of seeds: the tasks that runs start from, imported from files or made by a model.

A folder has ``programs.jsonl`` (abduction and deduction), ``errors.jsonl`` and
``inductions.jsonl``, as far as there are such tasks, and ``refused.jsonl`` with the rows of
imported files that were left out, and why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainer.game.errors import SeedError
from trainer.game.play.drawing import TokenCounter
from trainer.game.play.judging import TaskJudge
from trainer.game.play.seed_files import Refusal, load_seeds, read_rows
from trainer.game.play.seed_sets import (
    ERRORS,
    INDUCTIONS,
    PROGRAMS,
    SEED_SETS,
    SeedSet,
    needed_sets,
)
from trainer.game.play.seeding import make_seeds
from trainer.game.policy import Policy
from trainer.game.settings import GameSettings
from trainer.game.tasks.task import InductionTask, Task, TaskType

type Say = Callable[[str], None]


REFUSED = "refused.jsonl"


@dataclass(slots=True)
class Imported:
    """Tasks that were found in files."""

    tasks: dict[TaskType, list[Task]] = field(default_factory=dict)
    """By the type that they were validated for; abduction shares deduction's."""
    refused: list[tuple[str, Refusal]] = field(default_factory=list)
    """File and row."""


def import_files(
    files: Sequence[Path], error_files: Sequence[Path], judge: TaskJudge, say: Say
) -> Imported:
    """The sound tasks of files, each once over all files.

    Raises:
        SeedError: a file cannot be read, or holds no sound task.
        ExecutorLost: the executor cannot be reached.
    """
    found = Imported()
    known: dict[TaskType, set[str]] = {seeds.task_type: set() for seeds in SEED_SETS}
    typed = [(file, _type_of(file)) for file in files]
    for file, task_type in [*typed, *((file, TaskType.ERROR) for file in error_files)]:
        report = load_seeds(file, task_type, judge)
        say(f"{report.summary()}, {task_type.value}")
        found.refused += [(str(file), refusal) for refusal in report.refused]
        new = [task for task in report.tasks if task.key not in known[task_type]]
        known[task_type].update(task.key for task in new)
        found.tasks.setdefault(task_type, []).extend(new)
        if len(new) < len(report.tasks):
            say(f"{file}: {len(report.tasks) - len(new)} of them stand in an earlier file")
    return found


def _type_of(file: Path) -> TaskType:
    """By the form of most rows; rows of the other form are then refused."""
    rows, _ = read_rows(file)
    inductions = sum(isinstance(task, InductionTask) for _, task in rows)
    return TaskType.INDUCTION if 2 * inductions > len(rows) else TaskType.DEDUCTION


def write_refused(path: Path, refused: Sequence[tuple[str, Refusal]]) -> None:
    """Write down the rows that were left out, and why."""
    rows = [
        {"file": file, "row": refusal.row, "status": refusal.status, "detail": refusal.detail}
        for file, refusal in refused
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def generate(
    settings: GameSettings,
    out: Path,
    judge: TaskJudge,
    policy: Policy,
    *,
    count_tokens: TokenCounter | None = None,
    say: Say = lambda _: None,
) -> dict[SeedSet, int]:
    """Let a model make the seed sets that the settings name no files for; how many tasks each has.

    Raises:
        SeedError: the settings name files for all, or the model makes no seeds.
        ExecutorLost: the executor cannot be reached.
        OSError: a set cannot be written.
    """
    wanted = wanted_sets(settings)
    paths = {seeds.written_by: str(out / seeds.file) for seeds in wanted}
    azr = settings.azr.model_copy(update=paths)
    made = make_seeds(
        settings.model_copy(update={"azr": azr}), judge, policy, count_tokens=count_tokens, say=say
    )
    sizes = {PROGRAMS: made.programs, ERRORS: made.errors, INDUCTIONS: made.inductions}
    return {seeds: len(sizes[seeds]) for seeds in wanted}


def wanted_sets(settings: GameSettings) -> tuple[SeedSet, ...]:
    """The seed sets that a run with these settings would let the model make.

    Raises:
        SeedError: there are none.
    """
    needed = needed_sets(settings.azr)
    wanted = tuple(seeds for seeds in needed if seeds.source(settings.azr) is None)
    if not wanted:
        keys = ", ".join(f"azr.{seeds.read_by}" for seeds in needed)
        raise SeedError(
            f"nothing to make: the configuration names files for all seeds ({keys}); set to null "
            "what the model shall make"
        )
    return wanted
