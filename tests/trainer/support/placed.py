"""The game of letters; notes where it is played, and with which environment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import ray

from tests.trainer.support.letters import LettersGame
from trainer.run import wiring

NOTED = "placed.json"


@ray.remote(num_cpus=0, resources={"elsewhere": 1})
def of_a_worker(names: list[str]) -> dict[str, Any]:
    """What a process that veRL starts elsewhere sees."""
    return where(names)


def where(names: list[str]) -> dict[str, Any]:
    found = {name: os.environ.get(name) for name in names}
    return {"node": ray.get_runtime_context().get_node_id(), **found}


class PlacedGame(LettersGame):
    def __init__(self, config: Any, tokenizer: Any, say: Callable[[str], None]) -> None:
        super().__init__(config, tokenizer, say)
        names = ["EXECUTOR_TOKEN", "HF_TOKEN", "VERL_PLATFORM", "TENSORBOARD_DIR", "UNRELATED"]
        noted = {
            "game": where(names),
            "worker": ray.get(of_a_worker.remote(names)),
        }
        (wiring.run_directory(config) / NOTED).write_text(json.dumps(noted))
