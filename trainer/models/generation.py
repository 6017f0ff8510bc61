"""Sampling from a transformers model: what the rollout replica for processors serves.

A generator is anything with the two methods of :class:`Generator`;
``rollout.engine_kwargs.hf.generator`` names another one than :class:`TransformersGenerator` as
``module:name``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import torch


@dataclass(frozen=True, slots=True)
class Prompt:
    """One sequence to go on with."""

    token_ids: Sequence[int]
    max_tokens: int
    temperature: float = 1.0
    """0: the likeliest token."""
    seed: int | None = None
    """The same prompt, model and seed give the same response, whatever else is in the batch (up to
    rounding in the model)."""
    top_p: float = 1.0
    """Tokens are drawn from the likeliest ones that together have this share."""


@dataclass(slots=True)
class Completion:
    """The text after a prompt."""

    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    """Of each token, under the distribution that it was drawn from."""


class Generator(Protocol):
    """A model that goes on with token sequences and takes new weights."""

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """One completion for each prompt."""
        ...

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take new weights, named as in the Hugging Face checkpoint."""
        ...


def make_generator(name: str, model_path: str, seed: int) -> Generator:
    """The generator called ``module:name``, made for a model."""
    module, _, attribute = name.partition(":")
    return cast(Generator, getattr(importlib.import_module(module), attribute)(model_path, seed))


class TransformersGenerator:
    """Plain sampling with a key/value cache, by default in float32 on processors.

    Args:
        model_path: Directory of a causal language model.
        seed: For prompts without a seed of their own.
        device: Where the model is.
        dtype: Of its weights.
    """

    def __init__(
        self,
        model_path: str,
        seed: int,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype)
        self._model = model.to(device).eval()
        self._device = device
        self.ends = _end_tokens(self._model)
        """Tokens that end a completion."""
        self._noise = torch.Generator().manual_seed(seed)

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take new weights; tied ones may be absent.

        Raises:
            ValueError: a name that the model does not have.
        """
        _, unexpected = self._model.load_state_dict(dict(weights), strict=False)
        if unexpected:
            raise ValueError(f"weights that the model does not have: {', '.join(unexpected[:5])}")
        self._model.tie_weights()

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """One completion for each prompt, decoded together."""
        completions = [Completion() for _ in prompts]
        points = self._points(prompts).to(self._device)
        running = [i for i, prompt in enumerate(prompts) if prompt.max_tokens > 0]
        padded = _left_padded([prompts[i].token_ids for i in running])
        tokens, mask = (part.to(self._device) for part in padded)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache: Any = None
        drawn = 0
        while running:
            output = self._model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = output.past_key_values
            asked = [prompts[i] for i in running]
            log_probs = _log_probs(output.logits[:, -1].float(), asked)
            chosen = _draw(log_probs, asked, points[running, drawn])
            of_chosen = log_probs.gather(1, chosen.unsqueeze(1)).squeeze(1).tolist()
            drawn += 1
            kept = []
            for row, (i, token) in enumerate(zip(running, chosen.tolist(), strict=True)):
                completions[i].token_ids.append(token)
                completions[i].log_probs.append(of_chosen[row])
                full = len(completions[i].token_ids) >= prompts[i].max_tokens
                if token not in self.ends and not full:
                    kept.append(row)
            if len(kept) < len(running) and kept:
                cache.batch_select_indices(torch.tensor(kept, device=self._device))
            tokens = chosen[kept].unsqueeze(1)
            mask = torch.nn.functional.pad(mask[kept], (0, 1), value=1)
            positions = positions[kept, -1:] + 1
            running = [running[row] for row in kept]
        return completions

    def _points(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Uniform numbers to draw tokens with, (prompt, token)."""
        longest = max((prompt.max_tokens for prompt in prompts), default=0)
        points = torch.empty((len(prompts), longest), dtype=torch.float64)
        for row, prompt in zip(points, prompts, strict=True):
            noise = self._noise
            if prompt.seed is not None:
                noise = torch.Generator().manual_seed(prompt.seed)
            row.uniform_(generator=noise)
        return points


def _end_tokens(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = model.config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or ())


def _left_padded(sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both (sequence, longest)."""
    width = max((len(ids) for ids in sequences), default=0)
    tokens = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in sequences])
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in sequences])
    return tokens, mask


def _log_probs(logits: torch.Tensor, prompts: Sequence[Prompt]) -> torch.Tensor:
    """Log-probabilities at each prompt's temperature (1 where it is 0), (sequence, vocabulary), of
    the tokens that it draws from."""
    temperature = torch.tensor(
        [prompt.temperature or 1.0 for prompt in prompts], device=logits.device
    )
    log_probs = (logits / temperature.unsqueeze(-1)).log_softmax(-1)
    shares = [prompt.top_p for prompt in prompts]
    return log_probs if min(shares) >= 1.0 else _likeliest(log_probs, shares)


def _likeliest(log_probs: torch.Tensor, shares: Sequence[float]) -> torch.Tensor:
    """The distributions without what is beyond their likeliest tokens of some share."""
    ordered, places = log_probs.sort(-1, descending=True)
    probabilities = ordered.exp()
    before = probabilities.cumsum(-1) - probabilities
    limits = torch.tensor(shares, device=log_probs.device).unsqueeze(-1)
    ordered = ordered.masked_fill(before >= limits, -torch.inf)
    return ordered.log_softmax(-1).gather(-1, places.argsort(-1))


def _draw(log_probs: torch.Tensor, prompts: Sequence[Prompt], points: torch.Tensor) -> torch.Tensor:
    """A token for each row: the likeliest at temperature 0, else by inversion of the distribution
    function at a number from 0 to 1."""
    cumulated = log_probs.double().exp().cumsum(-1)
    wanted = (points * cumulated[:, -1]).unsqueeze(1)
    drawn = torch.searchsorted(cumulated, wanted).squeeze(1).clamp(max=log_probs.shape[-1] - 1)
    greedy = torch.tensor([prompt.temperature == 0 for prompt in prompts], device=log_probs.device)
    return torch.where(greedy, log_probs.argmax(-1), drawn)
