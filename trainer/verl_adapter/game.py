"""The game of a run, opened from its configuration."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from omegaconf import DictConfig

from trainer.game.policy import Policy
from trainer.game.selfplay import StepResult


class Game(Protocol):
    """What the trainer asks of the game."""

    def begin(self, policy: Policy, say: Callable[[str], None]) -> None:
        """Fill the buffers of a new run with seeds: from files, or made by the model."""
        ...

    def step(self, policy: Policy, step: int) -> StepResult:
        """Play one step. Raises :class:`~trainer.game.errors.ExecutorLost`."""
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


def open_game(config: DictConfig, tokenizer: Any) -> Game:
    """Open the executor and make the game."""
    name = os.environ["ABSOLUTE_ZERO_GAME"]
    module, _, attribute = name.partition(":")
    return cast(Game, getattr(importlib.import_module(module), attribute)(config, tokenizer))
