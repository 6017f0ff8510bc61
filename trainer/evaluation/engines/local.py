"""A transformers model of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trainer.evaluation.asking import Ask, Sampling, Written
from trainer.evaluation.engines.tokens import Tokens, longest
from trainer.evaluation.errors import EvaluationError
from trainer.models.tokenizers import first_line


class Transformers:
    """An :class:`~trainer.evaluation.asking.Engine`; on a GPU in bfloat16, if there is one.

    Raises:
        EvaluationError: the model cannot be loaded.
    """

    def __init__(self, model: str, sampling: Sampling, *, chat: bool, together: int = 16) -> None:
        import torch

        from trainer.models.generation import TransformersGenerator

        self.together = together
        self._tokens = Tokens(model, chat=chat)
        self._sampling = sampling
        self._longest = longest(model)
        gpu = torch.cuda.is_available()
        try:
            self._model = TransformersGenerator(
                model,
                sampling.seed,
                device="cuda" if gpu else "cpu",
                dtype=torch.bfloat16 if gpu else torch.float32,
            )
        except (OSError, ValueError, KeyError) as error:
            raise EvaluationError(f"{model} cannot be loaded: {first_line(error)}") from error

    def generate(self, asks: Sequence[Ask]) -> Iterator[tuple[int, list[Written]]]:
        """All samples of the prompts, decoded together."""
        prompts: list[Any] = []
        for ask in asks:
            ids = self._tokens.ids(ask.text)
            prompts += [self._prompt(ids, seed) for seed in ask.seeds]
        written = iter(zip(prompts, self._model.generate(prompts), strict=True))
        for place, ask in enumerate(asks):
            yield place, [self._written(*next(written)) for _ in ask.seeds]

    def _prompt(self, ids: list[int], seed: int) -> Any:
        from trainer.models.generation import Prompt

        room = self._sampling.max_tokens
        if self._longest is not None:
            room = max(0, min(room, self._longest - len(ids)))
        return Prompt(ids, room, self._sampling.temperature, seed, self._sampling.top_p)

    def _written(self, prompt: Any, completion: Any) -> Written:
        ids = completion.token_ids
        cut = not ids or ids[-1] not in self._model.ends
        return Written(self._tokens.text(ids), len(ids), cut)
