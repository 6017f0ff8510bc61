"""Prompts of text as tokens of a model of this machine."""

from __future__ import annotations

from typing import Any

from trainer.evaluation.errors import EvaluationError
from trainer.models.tokenizers import first_line


class Tokens:
    """A model's tokenizer with its chat template, or without one.

    Raises:
        EvaluationError: it cannot be loaded, or lacks the chat template that is asked for.
    """

    def __init__(self, model: str, *, chat: bool) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
        except (OSError, ValueError, KeyError) as error:
            raise EvaluationError(f"{model} cannot be loaded: {first_line(error)}") from error
        if chat and not self._tokenizer.chat_template:
            raise EvaluationError(
                f"the tokenizer of {model} has no chat template: with --chat-template none the "
                "model is asked with the bare text"
            )
        self._chat = chat

    def ids(self, text: str) -> list[int]:
        """A prompt as it is handed to the model."""
        if self._chat:
            messages = [{"role": "user", "content": text}]
            text = self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
        ids: list[int] = self._tokenizer(text, add_special_tokens=not self._chat)["input_ids"]
        return ids

    def text(self, ids: list[int]) -> str:
        """What the model wrote, without special tokens."""
        decoded: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return decoded


def longest(model: str) -> int | None:
    """Tokens of the longest sequence that a model takes, prompt and answer together, if it says.

    Raises:
        EvaluationError: it cannot be loaded.
    """
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        raise EvaluationError(f"{model} cannot be loaded: {first_line(error)}") from error
    length = getattr(config, "max_position_embeddings", None)
    return int(length) if length else None
