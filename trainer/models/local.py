"""A transformers model of this machine as the game's policy: for seeding, without veRL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig

from trainer.game.policy import Request, Response
from trainer.models.tokenizers import (
    ModelError,
    first_line,
    load_tokenizer,
    model_path,
    token_counter,
)


class LocalModel:
    """A :class:`~trainer.game.policy.Policy`; samples as training rollouts do.

    On a GPU in bfloat16 if there is one, else in float32 on processors. The same configuration
    gives the same responses.

    Args:
        config: A complete configuration; the model, its chat template, the longest response, and
            the seed are taken from it.
        batch: Prompts that are generated for together.

    Raises:
        ModelError: the model cannot be loaded, or its tokenizer has no chat template.
    """

    def __init__(self, config: DictConfig, batch: int = 16) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        path = model_path(config)
        on_gpu = torch.cuda.is_available() and config.trainer.device != "cpu"
        self._tokenizer, self._template = load_tokenizer(config)
        try:
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                path, dtype=torch.bfloat16 if on_gpu else torch.float32
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{path} cannot be loaded: {first_line(error)}") from error
        self._model.to("cuda" if on_gpu else "cpu").eval()
        self._temperature = float(config.actor_rollout_ref.rollout.temperature)
        self._longest = int(config.data.max_response_length)
        self._seed = int(config.azr.seed)
        self._batch = batch
        self._calls = 0
        self.count_tokens: Callable[[Any], int] = token_counter(self._tokenizer, config)
        """Tokens of a prompt, with all that the chat template adds."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield samples batch by batch, those of similar prompts together."""
        self._calls += 1
        rows = [
            (self._text(request), request, at) for request in requests for at in range(request.n)
        ]
        rows.sort(key=lambda row: (row[1].temperature or 0.0, len(row[0]), row[1].id, row[2]))
        while rows:
            same = [row for row in rows if row[1].temperature == rows[0][1].temperature]
            taken, rest = same[: self._batch], same[self._batch :]
            rows = rest + rows[len(same) :]
            yield from self._sample(taken, len(rows))

    def _text(self, request: Request) -> str:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        text: str = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, chat_template=self._template
        )
        return text

    def _sample(self, rows: Sequence[tuple[str, Request, int]], left: int) -> Iterator[Response]:
        import torch

        prompts = self._tokenizer(
            [text for text, _, _ in rows],
            add_special_tokens=False,
            padding=True,
            return_tensors="pt",
        ).to(self._model.device)
        temperature = rows[0][1].temperature
        torch.manual_seed(_number(self._seed, self._calls, left))
        output = self._model.generate(
            input_ids=prompts["input_ids"],
            attention_mask=prompts["attention_mask"],
            max_new_tokens=self._longest,
            do_sample=True,
            temperature=self._temperature if temperature is None else temperature,
            top_p=1.0,
            top_k=0,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        ends = _end_tokens(self._model)
        start = prompts["input_ids"].shape[1]
        for (_, request, sample), row in zip(rows, output[:, start:].tolist(), strict=True):
            length = next((at + 1 for at, token in enumerate(row) if token in ends), len(row))
            yield Response(
                request.id,
                sample,
                self._tokenizer.decode(row[:length], skip_special_tokens=True),
                length,
                truncated=row[length - 1] not in ends,
            )


def _number(*parts: int) -> int:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _end_tokens(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or ())
