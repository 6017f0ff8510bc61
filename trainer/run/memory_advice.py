"""Advice for when a GPU, or the machine, runs out of memory: printed where it happens."""

from __future__ import annotations

import re
from typing import Final

OUT_OF_MEMORY: Final = (
    "smaller actor_rollout_ref.actor.ppo_max_token_len_per_gpu (not under the longest sequence "
    "divided by ulysses_sequence_parallel_size) or data.max_response_length; "
    "actor_rollout_ref.model.use_fused_kernels=true; "
    "actor_rollout_ref.actor.fsdp_config.param_offload=true and .optimizer_offload=true; smaller "
    "actor_rollout_ref.rollout.gpu_memory_utilization; LoRA (actor_rollout_ref.model.lora_rank=64)"
)

_CACHE: Final = (
    "larger actor_rollout_ref.rollout.gpu_memory_utilization or .tensor_model_parallel_size, or "
    "smaller data.max_prompt_length and data.max_response_length"
)

_ADVICE: Final = (
    # vLLM, before it generates: its share holds the weights, and too little beside them.
    (
        r"No available memory for the cache blocks|KV cache is needed, which is larger than"
        r"|larger than the available KV cache memory",
        f"vLLM's share of the GPU is too small for its cache: {_CACHE}",
    ),
    (
        r"Free memory on device .* is less than desired GPU memory utilization",
        "vLLM does not find its share of the GPU free: something else is on it, or smaller "
        "actor_rollout_ref.rollout.gpu_memory_utilization is needed beside the trainer's weights",
    ),
    (
        r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        f"a GPU ran out of memory. What helps, with the least harm first: {OUT_OF_MEMORY}",
    ),
    (
        r"OutOfDisk|No space left on device",
        "a disk is full: a checkpoint needs the space that --dry-run names, and Ray's files are "
        "under /tmp/ray (+ray_kwargs.ray_init._temp_dir=... moves them)",
    ),
    (
        r"ray\.exceptions\.OutOfMemoryError|killed due to the node running low on memory"
        r"|Cannot allocate memory|oom-?kill",
        "the machine, not a GPU, ran out of memory: fewer executor sandboxes "
        "(azr.executor_max_workers), or no offload of weights and optimizer to the processor",
    ),
)


def advice(text: str) -> str | None:
    """Advice about an error, by its text (a traceback is fine); ``None`` if nothing is known.

    The machine's own memory is looked for first: Ray's error of that has the name of CUDA's.
    """
    for pattern, sentence in (_ADVICE[-1], *_ADVICE[:-1]):
        if re.search(pattern, text, re.IGNORECASE):
            return sentence
    return None
