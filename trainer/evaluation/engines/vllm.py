"""A model in vLLM, on GPUs or on processors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from trainer.evaluation.asking import Ask, Sampling, Written
from trainer.evaluation.engines.tokens import Tokens, longest
from trainer.evaluation.errors import EvaluationError
from trainer.models.tokenizers import first_line
from trainer.models.vllm import IN_PROCESS
from trainer.run.environment import ON_CPU


class Vllm:
    """An :class:`~trainer.evaluation.asking.Engine`.

    Raises:
        EvaluationError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        *,
        chat: bool,
        tensor_parallel: int = 1,
        together: int = 512,
    ) -> None:
        self.together = together
        self._tokens = Tokens(model, chat=chat)
        self._sampling = sampling
        self._longest = longest(model)
        self._engine = self._load(model, tensor_parallel)

    def _load(self, model: str, tensor_parallel: int) -> Any:
        options = _on_processors() if _without_gpu() else {}
        os.environ.update(IN_PROCESS)
        from vllm import LLM  # behind the environment that it reads

        try:
            return LLM(
                model=model,
                seed=self._sampling.seed,
                tensor_parallel_size=tensor_parallel,
                generation_config="vllm",
                **options,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise EvaluationError(f"vLLM cannot load {model}: {first_line(error)}") from error

    def generate(self, asks: Sequence[Ask]) -> Iterator[tuple[int, list[Written]]]:
        """All samples of the prompts, scheduled by vLLM."""
        every = [self._tokens.ids(ask.text) for ask in asks]
        prompts = [
            (ids, seed, self._room(ids))
            for ids, ask in zip(every, asks, strict=True)
            for seed in ask.seeds
        ]
        fitting = [prompt for prompt in prompts if prompt[2] > 0]
        outputs = self._engine.generate(
            [{"prompt_token_ids": ids} for ids, _, _ in fitting],
            [self._parameters(seed, room) for _, seed, room in fitting],
            use_tqdm=False,
        )
        found = iter(outputs)
        written = iter(
            [self._written(next(found)) if room > 0 else _NOTHING for _, _, room in prompts]
        )
        for place, ask in enumerate(asks):
            yield place, [next(written) for _ in ask.seeds]

    def _room(self, ids: list[int]) -> int:
        room = self._sampling.max_tokens
        return room if self._longest is None else min(room, self._longest - len(ids))

    def _parameters(self, seed: int, room: int) -> Any:
        from vllm import SamplingParams

        sampling = self._sampling
        return SamplingParams(
            temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=room, seed=seed
        )

    def _written(self, output: Any) -> Written:
        one = output.outputs[0]
        ids = list(one.token_ids)
        return Written(self._tokens.text(ids), len(ids), one.finish_reason == "length")


_NOTHING = Written("", 0, cut=True)
"""What a prompt gets that leaves no room."""


def _without_gpu() -> bool:
    import torch

    return not torch.cuda.is_available()


def _on_processors() -> dict[str, Any]:
    os.environ.update(ON_CPU)
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    return {
        "dtype": "float32",
        "enforce_eager": True,
        "compilation_config": {"cudagraph_mode": "NONE"},
    }
