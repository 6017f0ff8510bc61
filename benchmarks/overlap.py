"""Overlapping rollouts: the time of a training step with ``azr.overlap_estimates`` on and off.

    python -m benchmarks.overlap RUN [--steps 12] [key=value ...]

One run of the small model of ``preset=first_run``, on processors with vLLM, in the directory RUN.
Odd steps overlap and even ones do not, so that both meet the same machine and, with a learning rate
of 0, the same model. Prints the median times and their ratio; the first two steps warm up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from trainer.game.play.selfplay import StepResult
from trainer.game.policy import Policy
from trainer.run.absolute_zero import AbsoluteZero
from trainer.verl_adapter.rollout_policy import RolloutPolicy

_WARM_UP = 2
_ROOT = Path(__file__).parents[1]
_OVERRIDES = (
    "preset=first_run",
    "+trainer.game=benchmarks.overlap:AlternatingGame",
    "actor_rollout_ref.rollout.name=vllm",
    "actor_rollout_ref.actor.optim.lr=0",
    "trainer.val_before_train=false",
    "trainer.test_freq=-1",
    "trainer.save_freq=-1",
)


class AlternatingGame(AbsoluteZero):
    """Absolute Zero's game, which overlaps in odd steps only."""

    def step(self, policy: Policy, step: int) -> StepResult:
        """Play one step."""
        assert isinstance(policy, RolloutPolicy)
        policy._sampling = replace(policy._sampling, overlap=overlaps(step))
        return super().step(policy, step)


def overlaps(step: int) -> bool:
    """Whether this step overlaps."""
    return step % 2 == 1


def times(run: Path, name: str) -> tuple[list[float], list[float]]:
    """Seconds of each step with overlap, and without."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = [row for row in rows if row["step"] > _WARM_UP]
    with_, without = (
        [row["metrics"][name] for row in measured if overlaps(row["step"]) is wanted]
        for wanted in (True, False)
    )
    return with_, without


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overlap", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as python -m trainer")
    given = parser.parse_intermixed_args(arguments)
    trained = subprocess.run(
        [
            *(sys.executable, "-m", "trainer", *_OVERRIDES),
            f"trainer.default_local_dir={given.run}",
            f"trainer.total_training_steps={given.steps}",
            *given.overrides,
        ],
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        check=False,
    )
    if trained.returncode:
        return 1
    print(f"{'median of a step':24} {'overlapping':>12} {'one by one':>12} {'ratio':>7}")
    for label, name in (("generating and judging", "timing_s/gen"), ("whole", "timing_s/step")):
        with_, without = (median(seconds) for seconds in times(given.run, name))
        print(f"{label:24} {with_:10.2f} s {without:10.2f} s {with_ / without:7.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
