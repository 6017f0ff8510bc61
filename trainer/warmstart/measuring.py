"""Accuracy of a model, by the game's own prompts, parsing and judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from executor import Executor
from trainer.game.play.judging import TaskJudge
from trainer.game.play.selfplay import SelfPlay
from trainer.game.play.validation import Problem, evaluate
from trainer.game.policy import Message, Request, Response
from trainer.game.settings import GameSettings
from trainer.game.tasks.buffers import Buffers
from trainer.game.tasks.task import TaskType
from trainer.models.generation import Prompt, TransformersGenerator
from trainer.warmstart.corpus import TASK_TYPES, Corpus
from trainer.warmstart.settings import WarmStart, game_settings

_BATCH = 64
_SAMPLES = 4
_KNOWN_TASKS = 200
"""Training tasks of each type that proposers see examples of."""


class ModelPolicy:
    """A :class:`~trainer.game.policy.Policy` of a model folder; sampled as training rollouts are.

    The same model and seed give the same responses.
    """

    def __init__(self, model: Path, longest: int, seed: int = 1) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
        self._generator = TransformersGenerator(str(model), seed)
        self._longest = longest
        self._seed = seed

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield samples batch by batch, prompts of like length together."""
        rows = [
            (self._prompt(request, sample), request, sample)
            for request in requests
            for sample in range(request.n)
        ]
        rows.sort(key=lambda row: len(row[0].token_ids))
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            completions = self._generator.generate([prompt for prompt, _, _ in batch])
            for (_, request, sample), completion in zip(batch, completions, strict=True):
                ids = completion.token_ids
                yield Response(
                    request.id,
                    sample,
                    self._tokenizer.decode(ids, skip_special_tokens=True),
                    len(ids),
                    truncated=ids[-1] != self._tokenizer.eos_token_id,
                )

    def _prompt(self, request: Request, sample: int) -> Prompt:
        self._seed = (self._seed * 6364136223846793005 + 1442695040888963407) % 2**63
        temperature = 1.0 if request.temperature is None else request.temperature
        text = _chat(self._tokenizer, request.messages)
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return Prompt(ids, self._longest, temperature, (self._seed + sample) % 2**31)


def _chat(tokenizer: Any, messages: Sequence[Message]) -> str:
    rows = [{"role": message.role, "content": message.content} for message in messages]
    text: str = tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=True)
    return text


def measure(
    model: Path,
    *,
    corpus: Corpus,
    problems: Sequence[Problem],
    settings: WarmStart,
    backend: str,
    say: Callable[[str], None],
) -> Mapping[str, float]:
    """Greedy accuracy on held-out problems, and the metrics of one step of self-play.

    The step proposes ``settings.training.measured`` tasks of each type and solves as many, at
    temperature 1; nothing is trained. Names are those of the trainer's metrics.
    """
    game = _measured_game(settings)
    policy = ModelPolicy(model, settings.training.max_response)
    with TaskJudge(Executor(backend, workers=2), game.azr) as judge:
        play = SelfPlay(game, _buffers(corpus, settings), judge)
        say("one step of self-play")
        found = dict(play.step(policy, 1).metrics)
        say(f"{len(problems)} held-out tasks")
        return found | evaluate(problems, policy, judge, play.drawer, game)


def _measured_game(settings: WarmStart) -> GameSettings:
    game = game_settings(settings)
    reward = game.azr.reward.model_copy(update={"n_samples": _SAMPLES})
    azr = game.azr.model_copy(update={"reward": reward})
    return game.model_copy(update={"azr": azr, "train_batch_size": settings.training.measured})


def _buffers(corpus: Corpus, settings: WarmStart) -> Buffers:
    buffers = Buffers(TASK_TYPES)
    wanted = settings.training.num_inputs
    chosen = [one for one in corpus.training if len(one.inputs) >= wanted][:_KNOWN_TASKS]
    for one in chosen:
        buffers.add(TaskType.ABDUCTION, one.program_task(0))
        buffers.add(TaskType.DEDUCTION, one.program_task(1))
        buffers.add(TaskType.INDUCTION, one.induction_task(range(wanted)))
    return buffers
