"""A model that writes chosen texts, and a game that notes what veRL makes of them.

The texts take the way of a model's own: through veRL's rollout servers, agent loops, store and
update, with the model's real log-probabilities.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

from tests.trainer.support.scripted_texts import reply
from trainer.game.play.selfplay import StepResult
from trainer.game.policy import Further, Policy, Request, Response, StreamingPolicy
from trainer.models.generation import Completion, Prompt, TransformersGenerator
from trainer.run import wiring
from trainer.run.absolute_zero import AbsoluteZero
from trainer.verl_adapter import advantage, queue


class ScriptedModel(TransformersGenerator):
    """Writes what :func:`reply` says."""

    def __init__(self, model_path: str, seed: int) -> None:
        from transformers import AutoTokenizer

        super().__init__(model_path, seed)
        self._tokenizer = AutoTokenizer.from_pretrained(model_path)

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        time.sleep(float(os.environ.get("SCRIPTED_BATCH_S", "0")))
        return [self._write(prompt) for prompt in prompts]

    def _write(self, prompt: Prompt) -> Completion:
        assert prompt.seed is not None
        text = reply(self._tokenizer.decode(prompt.token_ids), prompt.seed)
        ids = [*self._tokenizer(text)["input_ids"], self._tokenizer.eos_token_id]
        assert len(ids) <= prompt.max_tokens, text
        return Completion(ids, self._log_probs([*prompt.token_ids], ids))

    @torch.inference_mode()
    def _log_probs(self, prompt: list[int], ids: list[int]) -> list[float]:
        logits = self._model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(1, torch.tensor(ids).unsqueeze(1))
        return [float(value) for value in chosen.squeeze(1)]


class NotingPolicy:
    """Notes in which order responses come."""

    def __init__(self, policy: StreamingPolicy) -> None:
        self._policy = policy
        self.came: list[str] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        return self._policy.generate(requests)

    def stream(self, requests: Sequence[Request], further: Further) -> Iterator[Response]:
        for response in self._policy.stream(requests, further):
            self.came.append(response.request_id)
            yield response


class NotingGame(AbsoluteZero):
    """Absolute Zero's game; writes what it gave to veRL, and what veRL's update was made of."""

    def __init__(self, config: Any, tokenizer: Any, say: Callable[[str], None]) -> None:
        super().__init__(config, tokenizer, say)
        self._folder = wiring.run_directory(config) / "noted"
        self._folder.mkdir(exist_ok=True)
        ADV_ESTIMATOR_REGISTRY[advantage.NAME] = self._estimate

    def step(self, policy: Policy, step: int) -> StepResult:
        assert isinstance(policy, StreamingPolicy)
        noting = NotingPolicy(policy)
        result = super().step(noting, step)
        (self._folder / f"came_{step}.json").write_text(json.dumps(noting.came))
        self._step = step
        rows = {}
        for sample in result.samples:
            assert isinstance(sample.response.handle, queue.StoredResponse)
            rows[sample.response.handle.uid] = {
                "text": sample.response.text,
                "kind": sample.kind.name,
                "tokens": sample.response.tokens,
            }
        (self._folder / f"samples_{step}.json").write_text(json.dumps(rows))
        return result

    def _estimate(
        self, token_level_rewards: torch.Tensor, response_mask: torch.Tensor, **other: Any
    ) -> Any:
        values, returns = advantage.trrpp_advantages(token_level_rewards, response_mask, **other)
        rows = [
            {
                "uid": str(uid),
                "tokens": int(mask.sum()),
                "reward": float(rewards.sum()),
                "reward_at": int(rewards.abs().argmax()),
                "advantages": sorted(set(advantages[mask.bool()].tolist())),
                "outside": float(advantages[~mask.bool()].abs().sum()),
            }
            for uid, mask, rewards, advantages in zip(
                other["index"], response_mask, token_level_rewards, values, strict=True
            )
        ]
        (self._folder / f"batch_{self._step}.json").write_text(json.dumps(rows))
        return values, returns
