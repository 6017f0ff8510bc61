"""Running out of memory is answered with what helps, in the error itself."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("omegaconf", reason="needs the extra 'trainer'")

from trainer.run.failures import TrainingFailed
from trainer.run.memory_advice import advice


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.90 GiB. GPU 0 has",
            "actor_rollout_ref.actor.ppo_max_token_len_per_gpu",
        ),
        ("torch.AcceleratorError: CUDA error: out of memory", "use_fused_kernels=true"),
        (
            "ValueError: No available memory for the cache blocks. Try increasing "
            "`gpu_memory_utilization` when initializing the engine.",
            "larger actor_rollout_ref.rollout.gpu_memory_utilization",
        ),
        (
            "ValueError: To serve at least one request with the models's max seq len (14240), "
            "(1.9 GiB KV cache is needed, which is larger than the available KV cache memory",
            "data.max_response_length",
        ),
        (
            "ValueError: Free memory on device cuda:0 (20/80 GiB) on startup is less than desired "
            "GPU memory utilization (0.4, 31 GiB).",
            "something else is on it",
        ),
        (
            "ray.exceptions.OutOfMemoryError: killed due to the node running low on memory",
            "the machine, not a GPU",
        ),
        ("OSError: [Errno 28] No space left on device", "a disk is full"),
    ],
)
def test_what_helps_is_part_of_the_error(error: str, says: str, tmp_path: Path) -> None:
    text = str(TrainingFailed(f"RayTaskError: {error}", tmp_path))
    reason, hint, logs = text.splitlines()
    assert error in reason
    assert says in hint
    assert logs == f"logs of all processes: {tmp_path}"


def test_other_errors_are_left_as_they_are() -> None:
    assert advice("ValueError: bad key. See memory.py") is None
    assert str(TrainingFailed("KeyError: 'x'")) == "KeyError: 'x'"
