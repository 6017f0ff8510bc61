"""Absolute Zero's own game, opened for a run: the executor, the buffers, the model's tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from trainer.configs import game_settings
from trainer.game.play import validation
from trainer.game.play.judging import TaskJudge
from trainer.game.play.parser_pool import Workshop
from trainer.game.play.seeding import fill_buffers, make_seeds
from trainer.game.play.selfplay import SelfPlay, StepResult
from trainer.game.policy import Message, Policy
from trainer.game.settings import GameSettings
from trainer.game.tasks.buffers import Buffers
from trainer.game.tasks.task import AZR_NAMES
from trainer.run import wiring
from trainer.run.executors import make_executor
from trainer.run.game import Finished

type Say = Callable[[str], None]


def open_judge(settings: GameSettings, say: Say) -> TaskJudge:
    """A connection to the executor, open.

    Raises:
        executor.ExecutorError: it cannot be opened.
    """
    azr = settings.azr
    judge = TaskJudge(make_executor(azr, say), Workshop(azr.reward.generation_reward_config), azr)
    return judge.__enter__()


class AbsoluteZero:
    """A :class:`~trainer.run.game.Game`."""

    def __init__(self, config: DictConfig, tokenizer: Any, say: Say) -> None:
        self._settings = game_settings(config)
        self._count_tokens = token_counter(tokenizer, config)
        azr = self._settings.azr
        capacity = azr.data_selection_strategy.max_programs
        self._buffers = Buffers(azr.task_types, capacity=capacity, dedup=azr.dedup)
        self._benchmark = [
            problem for path in wiring.validation_files(config) for problem in validation.read(path)
        ]
        self._judge = open_judge(self._settings, say)
        try:
            self._play = SelfPlay(self._settings, self._buffers, self._judge, self._count_tokens)
        except BaseException:
            self._judge.close()
            raise

    def begin(self, policy: Policy, say: Say) -> None:
        """Read or make the seeds, and put them into the buffers."""
        seeds = make_seeds(
            self._settings, self._judge, policy, count_tokens=self._count_tokens, say=say
        )
        sizes = fill_buffers(self._buffers, seeds)
        listed = ", ".join(f"{AZR_NAMES[kind]} {size}" for kind, size in sizes.items())
        say(f"buffers hold {listed}")
        if self._settings.azr.generate_seed_dataset_only:
            raise Finished("the seeds are made (azr.generate_seed_dataset_only)")

    def step(self, policy: Policy, step: int) -> StepResult:
        """Play one step."""
        return self._play.step(policy, step)

    def validate(self, policy: Policy, step: int) -> Mapping[str, float]:
        """Accuracy on the rows of ``data.val_files``."""
        return validation.evaluate(
            self._benchmark, policy, self._judge, self._play.drawer, self._settings
        )

    def state(self) -> Any:
        """Buffers and random state."""
        return self._play.state()

    def restore(self, state: Any) -> None:
        """Go on exactly from a state."""
        self._play.restore(state)

    def close(self) -> None:
        """End the executor."""
        self._judge.close()


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
