"""The runs of an experiment, and the command of each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.experiment.arms import ARMS, NO_UPDATES, SELF_PLAY, Arm
from trainer.warmstart.making import HELD_OUT, INDUCTIONS, PROGRAMS

PRESET = "learning"


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment. All arms have the same steps, batches and samples."""

    folder: Path
    arms: tuple[Arm, ...] = ARMS
    seeds: tuple[int, ...] = (1, 2, 3)
    steps: int = 24
    test_every: int = 6
    """Steps between evaluations on the held-out tasks."""
    overrides: tuple[str, ...] = ()
    """Of all runs alike."""


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One run of the trainer."""

    arm: Arm
    seed: int
    folder: Path
    steps: int


def quick(folder: Path, overrides: tuple[str, ...] = ()) -> Plan:
    """One seed, two arms, 10 steps: most of the gain comes early."""
    return Plan(folder, (SELF_PLAY, NO_UPDATES), (1,), 10, 10, overrides)


def runs(plan: Plan) -> Iterator[ArmRun]:
    """All runs, seed by seed: what is there after a part of them can be compared."""
    for seed in plan.seeds:
        for arm in plan.arms:
            yield ArmRun(arm, seed, plan.folder / arm.name / f"seed_{seed}", plan.steps)


def command(plan: Plan, run: ArmRun, model: Path) -> list[str]:
    """The command of a run; ``model`` is the folder of a warm start. Repeated, it resumes."""
    return [
        *(sys.executable, "-m", "trainer", f"preset={PRESET}"),
        *settings(plan, run, model),
    ]


def settings(plan: Plan, run: ArmRun, model: Path) -> list[str]:
    """Settings of a run beside the preset."""
    return [
        f"actor_rollout_ref.model.path={model}",
        f"azr.prompts_dir={model / 'prompts'}",
        f"azr.seed_dataset={model / PROGRAMS}",
        f"azr.code_f_seed_dataset={model / INDUCTIONS}",
        f"azr.seed={run.seed}",
        f"actor_rollout_ref.rollout.seed={run.seed}",
        f"data.seed={run.seed}",
        f"data.val_files={model / HELD_OUT}",
        f"azr.held_out_tasks={model / HELD_OUT}",
        f"trainer.test_freq={plan.test_every}",
        f"trainer.save_freq={plan.test_every}",
        f"trainer.total_training_steps={plan.steps}",
        f"trainer.default_local_dir={run.folder}",
        f"trainer.experiment_name={run.arm.name}-{run.seed}",
        *run.arm.overrides,
        *plan.overrides,
    ]
