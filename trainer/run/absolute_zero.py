"""Absolute Zero's own game, opened for a run: the executor, the buffers, the model's tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from trainer.configs import game_settings
from trainer.game.play import validation
from trainer.game.play.judging import TaskJudge
from trainer.game.play.seeding import fill_buffers, make_seeds
from trainer.game.play.selfplay import SelfPlay, StepResult
from trainer.game.policy import Policy
from trainer.game.tasks.buffers import Buffers
from trainer.game.tasks.task import AZR_NAMES
from trainer.models.tokenizers import token_counter
from trainer.run import wiring
from trainer.run.checks import check_game
from trainer.run.executors import make_executor
from trainer.run.game import Finished, Say


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
        self._judge = TaskJudge(make_executor(azr, say), azr)
        self._judge.open()
        try:
            self._play = SelfPlay(self._settings, self._buffers, self._judge, self._count_tokens)
        except BaseException:
            self._judge.close()
            raise

    @staticmethod
    def check(config: DictConfig, say: Say) -> None:
        """The executor answers, and what the game reads can be read."""
        check_game(config, say)

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
