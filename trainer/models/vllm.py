"""A model in vLLM as the game's policy: for seeding at speed, without veRL."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig

from trainer.game.policy import Request, Response
from trainer.models.seeds import seed_of
from trainer.models.tokenizers import ModelError, load_tokenizer, model_path, token_counter

IN_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
"""The environment of vLLM outside veRL: its engine's own process would outlive a killed one of
ours. Its workers hold a pipe of the engine's process, and end with it."""
_SHARE = 0.85
"""Of a GPU's memory: nothing else is on it."""
_TOGETHER = 512
"""Requests that are handed over at a time; the executor works on their answers meanwhile."""


def is_there(config: DictConfig) -> bool:
    """Whether a configuration generates with vLLM, and vLLM is installed."""
    wanted = config.actor_rollout_ref.rollout.name == "vllm"
    return bool(wanted and importlib.util.find_spec("vllm") is not None)


class VllmModel:
    """A :class:`~trainer.game.policy.Policy`; samples as training rollouts do.

    The environment must be that of a run (:func:`trainer.run.environment.prepare`).

    Args:
        config: A complete configuration; the model, its chat template, the longest prompt and
            response, the GPUs of a copy and the seed are taken from it.

    Raises:
        ModelError: the model cannot be loaded, or its tokenizer has no chat template.
    """

    def __init__(self, config: DictConfig) -> None:
        self._tokenizer, self._template = load_tokenizer(config)
        rollout = config.actor_rollout_ref.rollout
        self._longest = int(config.data.max_response_length)
        self._temperature = float(rollout.temperature)
        self._seed = int(config.azr.seed)
        self._calls = 0
        self._engine = _engine(config, int(config.data.max_prompt_length) + self._longest)
        self.count_tokens: Callable[[Any], int] = token_counter(self._tokenizer, config)
        """Tokens of a prompt, with all that the chat template adds."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield samples, some hundred requests at a time."""
        self._calls += 1
        for start in range(0, len(requests), _TOGETHER):
            yield from self._sample(requests[start : start + _TOGETHER])

    def _sample(self, requests: Sequence[Request]) -> Iterator[Response]:
        prompts = [{"prompt_token_ids": self._tokens(request)} for request in requests]
        sampling = [self._sampling(request) for request in requests]
        found = self._engine.generate(prompts, sampling, use_tqdm=False)
        for request, output in zip(requests, found, strict=True):
            for sample, one in enumerate(output.outputs):
                ids = list(one.token_ids)
                yield Response(
                    request.id,
                    sample,
                    self._tokenizer.decode(ids, skip_special_tokens=True),
                    len(ids),
                    truncated=one.finish_reason == "length",
                )

    def _tokens(self, request: Request) -> list[int]:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        text = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, chat_template=self._template
        )
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            n=request.n,
            temperature=self._temperature if request.temperature is None else request.temperature,
            max_tokens=self._longest,
            seed=seed_of(f"{self._seed}/{self._calls}/{request.id}"),
        )


def _engine(config: DictConfig, longest: int) -> Any:
    os.environ.update(IN_PROCESS)
    from vllm import LLM

    rollout, model = config.actor_rollout_ref.rollout, config.actor_rollout_ref.model
    options: dict[str, Any] = {}
    if config.trainer.device == "cpu":
        options = {"compilation_config": {"cudagraph_mode": "NONE"}}
    else:
        options = {"gpu_memory_utilization": _SHARE}
    try:
        return LLM(
            model=model_path(config),
            tokenizer=model.tokenizer_path or None,
            dtype=str(rollout.dtype),
            seed=int(config.azr.seed),
            max_model_len=longest,
            max_num_seqs=int(rollout.max_num_seqs),
            max_num_batched_tokens=int(rollout.max_num_batched_tokens),
            tensor_parallel_size=int(rollout.tensor_model_parallel_size),
            enforce_eager=bool(rollout.enforce_eager),
            generation_config="vllm",
            **options,
        )
    except (OSError, ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"vLLM cannot load {model_path(config)}: {lines[0] if lines else type(error).__name__}"
        ) from error
