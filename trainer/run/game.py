"""The game of a run, named by its configuration."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from omegaconf import DictConfig

from trainer.game.errors import GameError
from trainer.game.play.selfplay import StepResult
from trainer.game.policy import Policy

type Say = Callable[[str], None]

ABSOLUTE_ZERO = "trainer.run.absolute_zero:AbsoluteZero"
"""The default of ``trainer.game_class``."""


class Finished(BaseException):
    """The run is complete before its last step; the text says why. Not an error."""


class Game(Protocol):
    """The part of a game that the trainer uses."""

    def begin(self, policy: Policy, say: Say) -> None:
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


class GameClass(Protocol):
    """What ``trainer.game_class`` names: a class of games."""

    def __call__(self, config: DictConfig, tokenizer: Any, say: Say) -> Game:
        """Open the executor and make the game."""
        ...

    def check(self, config: DictConfig, say: Say) -> None:
        """Look for what would go wrong, before anything is started.

        Raises:
            ConfigurationProblem: one sentence that says what it is.
        """
        ...


def game_class(config: DictConfig) -> GameClass:
    """The class that ``trainer.game_class`` names as ``module:name``.

    Raises:
        GameError: there is no such class.
    """
    name = str(config.trainer.game_class)
    try:
        found: GameClass = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise GameError(f"trainer.game_class={name} cannot be used: {error}") from error
    return found
