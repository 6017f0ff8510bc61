"""Models that a run makes itself, named by a word in ``actor_rollout_ref.model.path``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from omegaconf import DictConfig, open_dict
from rich.console import Console

from executor import ExecutorError
from trainer.models import tiny
from trainer.run import wiring
from trainer.run.failures import ConfigurationProblem

_LOCAL: Final = ("nsjail", "docker", "gvisor", "process")


def provide(config: DictConfig, console: Console) -> None:
    """Make the model in its folder, unless it is there or is not one of these.

    Sets the model's path in the configuration to what can be loaded: a folder, or a hub's name.

    Raises:
        ConfigurationProblem: the programs that a warm start is made of cannot be run.
    """
    name = config.actor_rollout_ref.model.path
    folder = Path(wiring.model_path(config))
    if name == wiring.TINY_MODEL:
        length = config.data.max_prompt_length + config.data.max_response_length
        tiny.make(folder, seed=int(config.azr.seed), max_positions=int(length))
    elif name == wiring.WARM_MODEL and not folder.is_dir():
        _warm(config, folder, console)
    with open_dict(config):
        config.actor_rollout_ref.model.path = wiring.model_path(config)


def _warm(config: DictConfig, folder: Path, console: Console) -> None:
    from trainer.warmstart.making import make
    from trainer.warmstart.settings import brief

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say(f"first, and once, a small model is made: {folder}")
    backend = str(config.azr.executor)
    try:
        make(brief(), folder.parent, backend if backend in _LOCAL else _LOCAL[0], say)
    except ExecutorError as error:
        raise ConfigurationProblem(
            f"the programs that the warm start is made of cannot be run: {error}"
        ) from error
