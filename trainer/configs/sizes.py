"""Sizes in a configuration that cannot go together, found before any GPU is touched."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig

VERLS_ATTENTION = "flash_attention_2"
"""The attention that veRL takes where the configuration names none."""


def conflicts(config: DictConfig) -> tuple[str, ...]:
    """A sentence for each pair of sizes that veRL or vLLM would stumble over."""
    return tuple(_conflicts(config))


def longest_sequence(config: DictConfig) -> int:
    """Tokens of the longest prompt with its longest response."""
    return int(config.data.max_prompt_length) + int(config.data.max_response_length)


def gpus(config: DictConfig) -> int:
    """GPUs of the run, over all nodes (on CPUs: ranks)."""
    return int(config.trainer.nnodes) * int(config.trainer.n_gpus_per_node)


def attention(config: DictConfig) -> str:
    """The attention of the model in training, as transformers names it."""
    chosen = config.actor_rollout_ref.model.override_config.get("attn_implementation")
    return str(chosen or VERLS_ATTENTION)


def is_flash(attention_name: str) -> bool:
    """Whether it is one of the flash attentions: only there veRL puts its sequence parallelism."""
    return "flash" in attention_name


def shards(config: DictConfig) -> int:
    """GPUs over which one copy of the weights in training is spread."""
    size = int(config.actor_rollout_ref.actor.fsdp_config.fsdp_size)
    return size if 0 < size < gpus(config) else gpus(config)


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
    if config.trainer.device != "cpu":
        yield from _attention_conflicts(config, ulysses)
    if config.azr.advantage.loss_rows and actor.loss_agg_mode != "token-mean":
        yield (
            f"azr.advantage.loss_rows is for actor.loss_agg_mode=token-mean, not "
            f"{actor.loss_agg_mode}"
        )


def _attention_conflicts(config: DictConfig, ulysses: int) -> Iterator[str]:
    name = attention(config)
    if ulysses > 1 and not is_flash(name):
        yield (
            f"attn_implementation={name} with actor.ulysses_sequence_parallel_size={ulysses} would "
            "train on wrong attention without a word (each GPU would see its slice of a sequence "
            "only): use flash_attention_2, or actor.ulysses_sequence_parallel_size=1"
        )
    if ulysses > 1 and not config.actor_rollout_ref.model.use_remove_padding:
        yield "actor.ulysses_sequence_parallel_size above 1 needs model.use_remove_padding=true"
