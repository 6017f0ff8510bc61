"""vLLM as the rollout engine, on processors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.support.runs import LETTERS, metrics, needs_ray, needs_verl, needs_vllm, train

pytestmark = [
    needs_verl, needs_ray, needs_vllm, pytest.mark.verl, pytest.mark.timeout(1200),
]  # fmt: skip


def test_weights_of_vllm_are_those_of_the_trainer_after_updates(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").glob("psm_*"))
    train(tmp_path, LETTERS, "trainer.total_training_steps=3", preset="cpu_vllm", within_s=500)
    steps = metrics(tmp_path)
    assert list(steps) == [1, 2, 3]
    for step, values in steps.items():
        assert values["training/rollout_probs_diff_max"] < 1e-5, step
        assert values["actor/grad_norm"] > 1e-3, step
    assert set(Path("/dev/shm").glob("psm_*")) <= before
