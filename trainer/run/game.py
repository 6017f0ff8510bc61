"""The game of a run, opened from its configuration."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from omegaconf import DictConfig

from trainer.game.play.selfplay import StepResult
from trainer.game.policy import Policy


class Finished(BaseException):
    """The run is complete before its last step; the text says why. Not an error."""


class Game(Protocol):
    """What the trainer asks of the game."""

    def begin(self, policy: Policy, say: Callable[[str], None]) -> None:
        """Fill the buffers of a new run with seeds: from files, or made by the model."""
        ...

    def step(self, policy: Policy, step: int) -> StepResult:
        """Play one step; if it raises, the state is as before.

        Raises:
            ExecutorLost: the executor cannot be reached (:mod:`trainer.game.errors`).
        """
        ...

    def validate(self, policy: Policy, step: int) -> Mapping[str, float]:
        """Accuracy on the benchmark rows."""
        ...

    def state(self) -> Any:
        """All that :meth:`restore` needs, as JSON values."""
        ...

    def restore(self, state: Any) -> None:
        """Go on exactly from a state."""
        ...

    def close(self) -> None:
        """End the executor."""
        ...


def open_game(config: DictConfig, tokenizer: Any, say: Callable[[str], None]) -> Game:
    """Open the executor and make the game.

    ``trainer.game`` names another game than Absolute Zero's: ``module:name`` of something that is
    called as this function is.
    """
    name = config.trainer.get("game")
    if name:
        module, _, attribute = str(name).partition(":")
        made: Game = getattr(importlib.import_module(module), attribute)(config, tokenizer, say)
        return made
    from trainer.run.absolute_zero import AbsoluteZero  # noqa: PLC0415

    return AbsoluteZero(config, tokenizer, say)
