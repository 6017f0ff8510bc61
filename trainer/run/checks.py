"""What can be found wrong with Absolute Zero's own game before a run starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from executor import ExecutorError
from trainer.configs import game_settings
from trainer.game.errors import GameError
from trainer.game.play import validation
from trainer.game.play.judging import TaskJudge
from trainer.game.play.seed_files import load_seeds, read_rows
from trainer.game.play.seed_sets import needed_sets
from trainer.game.play.seeding import identity_task
from trainer.game.settings import GameSettings
from trainer.game.tasks.task import TaskType
from trainer.game.texts.prompts import PromptBook
from trainer.run import checkpoints, wiring
from trainer.run.executors import make_executor
from trainer.run.failures import ConfigurationProblem
from trainer.run.game import Say

_EXECUTOR_ANSWERS_WITHIN_S = 10.0


def check_game(config: DictConfig, say: Say) -> None:
    """The executor answers and finds the identity function sound, and files can be read.

    Seeds are validated too, unless the run resumes.

    Raises:
        ConfigurationProblem: one sentence that says what is wrong.
    """
    settings = game_settings(config)
    changes: dict[str, object] = {"executor_patience_s": _EXECUTOR_ANSWERS_WITHIN_S}
    if settings.azr.executor == "ray":
        changes["executor"] = "nsjail"  # what each node will have; there is no cluster yet
    settings = settings.model_copy(update={"azr": settings.azr.model_copy(update=changes)})

    try:
        PromptBook(settings)
        for path in wiring.validation_files(config):
            validation.read(path)
        for _, path in _seed_files(settings):
            read_rows(path)
        with TaskJudge(make_executor(settings.azr, say), settings.azr) as judge:
            examined = judge.revalidate(TaskType.DEDUCTION, identity_task(TaskType.DEDUCTION))
            verdict = examined.result()
            if verdict.task is None:
                raise ConfigurationProblem(
                    f"azr.executor={settings.azr.executor} refuses the identity function: "
                    f"{verdict.status}: {verdict.detail}"
                )
            if not _resumes(config):
                for task_type, path in _seed_files(settings):
                    load_seeds(path, task_type, judge)  # each has at least one sound task
    except ExecutorError as error:
        raise ConfigurationProblem(
            f"the executor (azr.executor={settings.azr.executor}) cannot be used: {error}"
        ) from error
    except GameError as error:
        raise ConfigurationProblem(str(error)) from error
    except ImportError as error:
        raise ConfigurationProblem(
            f"azr.executor={settings.azr.executor} needs a package that is not there: {error}"
        ) from error


def _seed_files(settings: GameSettings) -> Iterator[tuple[TaskType, Path]]:
    for seeds in needed_sets(settings.azr):
        path = seeds.source(settings.azr)
        if path is not None:
            yield seeds.task_type, path


def _resumes(config: DictConfig) -> bool:
    mode = config.trainer.resume_mode
    run = wiring.run_directory(config)
    return mode == "resume_path" or (mode == "auto" and checkpoints.latest_step(run) is not None)
