"""Tokenizers with their chat templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from trainer.game.policy import Message


class ModelError(ValueError):
    """A model that cannot be loaded, or not be prompted; the text says why."""


def load_tokenizer(config: DictConfig) -> tuple[Any, str]:
    """The model's tokenizer, padding on the left, and its chat template.

    Raises:
        ModelError: it cannot be loaded, or has no chat template.
    """
    from transformers import AutoTokenizer

    settings = config.actor_rollout_ref.model
    path = model_path(config)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            settings.tokenizer_path or path, padding_side="left"
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} cannot be loaded: {first_line(error)}") from error
    template = settings.custom_chat_template or tokenizer.chat_template
    if not template:
        raise ModelError(
            f"the tokenizer of {path} has no chat template; set "
            "actor_rollout_ref.model.custom_chat_template"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, str(template)


def model_path(config: DictConfig) -> str:
    """Folder of the model, or its name on the hub; ``~`` is expanded where that is a folder."""
    path = str(config.actor_rollout_ref.model.path or "")
    expanded = Path(path).expanduser()
    return str(expanded) if expanded.exists() else path


def first_line(error: Exception) -> str:
    """The first line of an error."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def token_counter(tokenizer: Any, config: DictConfig) -> Callable[[Sequence[Message]], int]:
    """Tokens of a prompt, with all that the chat template adds."""
    options = dict(config.data.get("apply_chat_template_kwargs") or {})
    custom = config.actor_rollout_ref.model.custom_chat_template
    if custom:
        options["chat_template"] = custom

    def count(messages: Sequence[Message]) -> int:
        text = tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            add_generation_prompt=True,
            tokenize=False,
            **options,
        )
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return count
