"""Early ends of a run.

RunError
├── ConfigurationProblem   before anything was started: exit code 2
├── TrainingFailed         exit code 1
└── Interrupted            by Ctrl-C or SIGTERM: exit code 130
"""

from __future__ import annotations

from pathlib import Path

from trainer.game.errors import GameError
from trainer.run.checkpoints import CheckpointError
from trainer.run.memory_advice import advice


class RunError(Exception):
    """A run did not reach its end; the text is for the user."""

    exit_code = 1


class ConfigurationProblem(RunError):
    """Found before Ray or a GPU was touched."""

    exit_code = 2


class TrainingFailed(RunError):
    """The training ended with an error.

    Args:
        reason: What happened. What is known to help against it is added.
        logs: Where Ray's processes wrote, if that helps.
    """

    def __init__(self, reason: str, logs: Path | None = None) -> None:
        parts = [reason, advice(reason), f"logs of all processes: {logs}" if logs else None]
        super().__init__("\n".join(part for part in parts if part))


class Interrupted(RunError):
    """The user stopped the run."""

    exit_code = 130
    sentence = "stopped by the user; the same command goes on from the last checkpoint"

    def __init__(self) -> None:
        super().__init__(self.sentence)


FAILURES = (CheckpointError, GameError)
"""Errors of the training process whose text is for the user as it stands."""
