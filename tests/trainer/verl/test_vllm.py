"""vLLM as the rollout engine, on processors: two processes share the model."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.trainer.support.runs import (
    LETTERS,
    assert_stops,
    metrics,
    needs_ray,
    needs_verl,
    needs_vllm,
    segments,
    started,
    wait_for,
)

pytestmark = [
    needs_verl, needs_ray, needs_vllm, pytest.mark.verl, pytest.mark.timeout(1200),
]  # fmt: skip

TENSOR_PARALLEL = (
    "trainer.n_gpus_per_node=2",
    "actor_rollout_ref.rollout.tensor_model_parallel_size=2",
)


def test_weights_of_vllm_are_those_of_the_trainer_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    settings = (LETTERS, *TENSOR_PARALLEL, "trainer.total_training_steps=1000")
    with started(tmp_path, *settings, preset="cpu_vllm") as process:
        wait_for(lambda: 3 in metrics(tmp_path), 900, "step 3", process)
        shared = segments(process.pid)
        assert shared
        assert_stops(process, lambda: os.killpg(process.pid, signal.SIGINT))
    assert not {path for path in shared if path.exists()}
    for step in (1, 2, 3):
        values = metrics(tmp_path)[step]
        assert values["training/rollout_probs_diff_max"] < 1e-5, step
        assert values["actor/grad_norm"] > 1e-3, step
