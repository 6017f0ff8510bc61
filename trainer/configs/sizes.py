"""Sizes in a configuration that cannot go together, found before any GPU is touched."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig


def conflicts(config: DictConfig) -> tuple[str, ...]:
    """A sentence for each pair of sizes that veRL or vLLM would stumble over."""
    return tuple(_conflicts(config))


def longest_sequence(config: DictConfig) -> int:
    """Tokens of the longest prompt with its longest response."""
    return int(config.data.max_prompt_length) + int(config.data.max_response_length)


def gpus(config: DictConfig) -> int:
    """GPUs of the run, over all nodes (on CPUs: ranks)."""
    return int(config.trainer.nnodes) * int(config.trainer.n_gpus_per_node)


def _conflicts(config: DictConfig) -> Iterator[str]:
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    ulysses = int(actor.ulysses_sequence_parallel_size)
    tensor_parallel = int(rollout.tensor_model_parallel_size)
    if gpus(config) % ulysses:
        yield (
            f"actor.ulysses_sequence_parallel_size is {ulysses}, which does not divide the "
            f"{gpus(config)} GPUs"
        )
    if config.trainer.device != "cpu" and int(config.trainer.n_gpus_per_node) % tensor_parallel:
        yield (
            f"rollout.tensor_model_parallel_size is {tensor_parallel}, which does not divide "
            f"trainer.n_gpus_per_node ({config.trainer.n_gpus_per_node})"
        )
    budget = int(actor.ppo_max_token_len_per_gpu) * ulysses
    if actor.use_dynamic_bsz and budget < longest_sequence(config):
        yield (
            f"actor.ppo_max_token_len_per_gpu times actor.ulysses_sequence_parallel_size is "
            f"{budget}, less than the longest sequence ({longest_sequence(config)} tokens)"
        )
    limit = rollout.max_model_len
    if limit is not None and int(limit) < longest_sequence(config):
        yield (
            f"rollout.max_model_len is {limit}, less than the longest sequence "
            f"({longest_sequence(config)} tokens)"
        )
