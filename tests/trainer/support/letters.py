"""A game of one's own for tests of the adapter: a response earns its share of letters.

A random model gets rewards that differ, which it never does in Absolute Zero: there is something to
learn from at once. Buffers and random numbers are used as in the real game.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from trainer.game.play.selfplay import Sample, StepResult
from trainer.game.policy import Message, Policy, Request
from trainer.game.tasks.task import ALL_KINDS, TaskType

KINDS = tuple(kind for kind in ALL_KINDS if kind.task is not TaskType.ERROR)


class LettersGame:
    def __init__(self, config: Any, tokenizer: Any, say: Callable[[str], None]) -> None:
        self._prompts = int(config.data.train_batch_size)
        self._n_samples = int(config.azr.reward.n_samples)
        self._random = random.Random(int(config.azr.seed))
        self._buffer: list[str] = []

    @staticmethod
    def check(config: Any, say: Callable[[str], None]) -> None:
        """Nothing can be wrong."""

    def begin(self, policy: Policy, say: Callable[[str], None]) -> None:
        self._buffer = ["seed"]
        say("seeds: 1")

    def step(self, policy: Policy, step: int) -> StepResult:
        requests = [
            Request(f"{kind.name}-{i}", kind, (Message("user", self._prompt(kind.name)),))
            for kind in KINDS
            for i in range(self._prompts)
        ]
        responses = {response.request_id: response for response in policy.generate(requests)}
        estimate = Request(
            "learnability", KINDS[1], requests[1].messages, self._n_samples, False, temperature=1.0
        )
        extra = [response.text for response in policy.generate([estimate])]
        samples = tuple(
            Sample(responses[r.id], r.kind, _letters(responses[r.id].text)) for r in requests
        )
        self._buffer += [sample.response.text[:20] for sample in samples]
        metrics = {
            "letters/mean": sum(sample.reward for sample in samples) / len(samples),
            "letters/buffer": float(len(self._buffer)),
            "letters/estimates": float(len(extra)),
        }
        rows = tuple({"kind": s.kind.name, "reward": s.reward} for s in samples)
        return StepResult(samples, metrics, {"answers": rows})

    def _prompt(self, name: str) -> str:
        return f"{name} {self._random.choice(self._buffer)} {self._random.random():.4f}"

    def validate(self, policy: Policy, step: int) -> Mapping[str, float]:
        request = Request("v", KINDS[1], (Message("user", "def f"),), train=False, temperature=0.0)
        return {"val/letters": _letters(next(policy.generate([request])).text)}

    def state(self) -> Any:
        version, numbers, gauss = self._random.getstate()
        return {"random": [version, list(numbers), gauss], "buffer": list(self._buffer)}

    def restore(self, state: Any) -> None:
        version, numbers, gauss = state["random"]
        self._random.setstate((version, tuple(numbers), gauss))
        self._buffer = list(state["buffer"])

    def close(self) -> None:
        """Nothing was opened."""


def _letters(text: str) -> float:
    return sum(map(str.isalpha, text)) / max(1, len(text))
