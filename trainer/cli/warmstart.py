"""``trainer warmstart``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from executor import ExecutorError

if TYPE_CHECKING:
    from trainer.warmstart.making import Made

CACHE = Path("runs") / "warmstart"


def warmstart(
    seed: Annotated[int, typer.Option(help="Of programs, weights and examples.")] = 1,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens to train on; decides time and quality.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder that keeps what is made.")] = CACHE,
    executor: Annotated[str, typer.Option(help="Backend that runs the programs.")] = "nsjail",
) -> int:
    """Make the small model that the learning experiment starts from; minutes, unless it is there.

    Exit codes: 0, or 2 if the executor cannot be used.
    """
    prepare_environment()
    from trainer.warmstart.making import make
    from trainer.warmstart.settings import WarmStart

    settings = WarmStart()
    settings = replace(
        settings,
        corpus=replace(settings.corpus, seed=seed),
        training=replace(settings.training, seed=seed, tokens=tokens or settings.training.tokens),
    )
    try:
        made = make(settings, cache, executor)
    except ExecutorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in summary(made):
        print(line)
    return 0


def prepare_environment() -> None:
    """Before tokenizers are imported: their threads would not survive a fork, and say so."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def summary(made: Made) -> list[str]:
    """What people want to know about it."""
    from trainer.game.tasks.task import AZR_NAMES
    from trainer.warmstart.making import averages

    lines = []
    for task_type, accuracy in averages(made.measured).items():
        name = AZR_NAMES[task_type]
        proposals = made.measured[f"gen_{name}/valid_rate"]
        sampled = made.measured[f"pred_{name}/accuracy"]
        lines.append(
            f"{task_type.value}: held-out tasks solved {accuracy:.1%}, "
            f"training tasks at temperature 1 {sampled:.1%}, valid proposals {proposals:.1%}"
        )
    return [*lines, str(made.folder)]
