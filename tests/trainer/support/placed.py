"""Absolute Zero's game; notes where it is played, with which environment, and what each node of the
cluster has run for it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import ray

from executor import RayFleet
from tests.trainer.support.scripted_model import NotingGame
from trainer.game.play.selfplay import StepResult
from trainer.game.policy import Policy
from trainer.run import wiring

NOTED, RAN = "placed.json", "ran.json"
_TOLD_WITHIN_S = 2.0
"""Nodes tell twice a second what they have done."""


@ray.remote(num_cpus=0, resources={"elsewhere": 1})
def of_a_worker(names: list[str]) -> dict[str, Any]:
    """What a process that veRL starts elsewhere sees."""
    return where(names)


def where(names: list[str]) -> dict[str, Any]:
    found = {name: os.environ.get(name) for name in names}
    return {"node": ray.get_runtime_context().get_node_id(), **found}


class PlacedGame(NotingGame):
    def __init__(self, config: Any, tokenizer: Any, say: Callable[[str], None]) -> None:
        super().__init__(config, tokenizer, say)
        self._place = wiring.run_directory(config)
        names = ["EXECUTOR_TOKEN", "HF_TOKEN", "VERL_PLATFORM", "TENSORBOARD_DIR", "UNRELATED"]
        noted = {
            "game": where(names),
            "worker": ray.get(of_a_worker.remote(names)),
        }
        (self._place / NOTED).write_text(json.dumps(noted))

    def step(self, policy: Policy, step: int) -> StepResult:
        before = self._programs()
        result = super().step(policy, step)
        time.sleep(_TOLD_WITHIN_S)
        ran = {name: count - before[name] for name, count in self._programs().items()}
        (self._place / RAN).write_text(json.dumps(ran))
        return result

    def _programs(self) -> dict[str, int]:
        """Programs that each node had to run, for its cache did not know them."""
        fleet = self._judge._verifier
        assert isinstance(fleet, RayFleet)
        return {
            name: sum(stats.cache_misses for stats in slot.stats())
            for name, slot in fleet._slots.items()
        }
