"""Arguments of the original's scripts that have no counterpart here, and why none is needed.

A command line of the original goes on working: such arguments are left out, and said to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

NOT_NEEDED: Final[Mapping[str, str]] = {
    "actor_rollout_ref.actor.fsdp_config.grad_offload": (
        "gradients move with the weights (actor_rollout_ref.actor.fsdp_config.param_offload)"
    ),
    "actor_rollout_ref.model.pretrained_tokenizer": (
        "actor_rollout_ref.model.custom_chat_template says how messages become text, and presets "
        "of base models set it"
    ),
    "actor_rollout_ref.ref.include_ref": "a reference model is there when a KL term is, else not",
    "actor_rollout_ref.rollout.chat_scheduler": "the trainer has an agent loop of its own",
    "actor_rollout_ref.rollout.use_fire_sampling": "veRL has given it up",
    "data.max_validation_prompt_length": "validation has data.max_prompt_length, as training has",
    "reward_fn.math_metric": "no task of the game is judged as mathematics",
    "reward_fn.splitter": "the rollout returns responses without their prompts",
    "trainer.debug": "Ray's debugger attaches to any process (ray debug)",
    "trainer.debug_port": "Ray's debugger attaches to any process (ray debug)",
    "trainer.remove_previous_ckpt_in_save": "trainer.max_actor_ckpt_to_keep says how many stay",
    "trainer.val_generations_to_log_to_wandb": (
        "samples of every step are written, and with the wandb logger shown there "
        "(azr.random_print_max_programs)"
    ),
    "critic.model.fsdp_config": "TRR++ has baselines in place of a critic",
    "reward_model": "the executor judges, not a model",
    "azr.executor=qwq": (
        "the original's executor has no isolation; the default here, nsjail, has (process has none)"
    ),
}
"""Keys, beginnings of keys, or one value of a key, and the reason."""

_WITHOUT_PLUS: Final = ("azr.generate_seed_dataset_only", "trainer.val_before_train")
"""Keys that the original's scripts had to add with a plus sign, and that are there now."""


def left_out(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The arguments that are left out, each with the reason."""
    for text in overrides:
        key = text.partition("=")[0].lstrip("+~")
        for old, reason in NOT_NEEDED.items():
            if old in (text, key) or key.startswith(f"{old}."):
                yield text, reason
                break


def ported(overrides: Sequence[str]) -> list[str]:
    """The other arguments, as they are written here."""
    gone = {text for text, _ in left_out(overrides)}
    return [_without_plus(text) for text in overrides if text not in gone]


def _without_plus(text: str) -> str:
    bare = text.lstrip("+")
    return bare if bare.partition("=")[0] in _WITHOUT_PLUS else text
