"""The sets of tasks that a run starts from, and the keys of the configuration that name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.game.settings import AzrSettings
from trainer.game.tasks.task import TASK_ORDER, TaskType


@dataclass(frozen=True, slots=True)
class SeedSet:
    """Tasks of one form, in a file or made by the model."""

    name: str
    """For people."""
    task_type: TaskType
    """The type that its tasks are validated for."""
    needed_by: frozenset[TaskType]
    """The set is needed if one of these is played."""
    file: str
    """Name of its file in a folder of seeds."""
    read_by: str
    """The key of ``azr`` that names a file to read."""
    written_by: str
    """The key of ``azr`` that says where tasks of the model are written."""

    def source(self, azr: AzrSettings) -> Path | None:
        """The file that the settings name; ``None``: the model makes the set."""
        return _path(getattr(azr, self.read_by))

    def target(self, azr: AzrSettings) -> Path | None:
        """The file that tasks of the model go to, if the settings name one."""
        return _path(getattr(azr, self.written_by))


def _path(name: str | None) -> Path | None:
    return Path(name).expanduser() if name else None


_SOLVED = frozenset(TASK_ORDER) - {TaskType.ERROR}

PROGRAMS = SeedSet(
    "programs", TaskType.DEDUCTION, _SOLVED, "programs.jsonl", "seed_dataset", "output_seed_path"
)
"""For abduction and deduction; induction tasks are made about them."""
ERRORS = SeedSet(
    "error deduction",
    TaskType.ERROR,
    frozenset({TaskType.ERROR}),
    "errors.jsonl",
    "error_seed_dataset",
    "output_error_seed_path",
)
INDUCTIONS = SeedSet(
    "induction",
    TaskType.INDUCTION,
    frozenset({TaskType.INDUCTION}),
    "inductions.jsonl",
    "code_f_seed_dataset",
    "output_code_f_seed_path",
)
SEED_SETS = (PROGRAMS, ERRORS, INDUCTIONS)
"""In the order in which they are made."""


def needed_sets(azr: AzrSettings) -> tuple[SeedSet, ...]:
    """The sets that the task types of the settings need."""
    return tuple(seeds for seeds in SEED_SETS if seeds.needed_by.intersection(azr.task_types))
