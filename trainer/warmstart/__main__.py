"""``python -m trainer.warmstart``: make the small model that the learning experiment starts from.

Programs are generated and run by the executor, and a small Qwen2 learns to propose and to solve
in the formats of self-play. The result is kept by content hash; asking again costs nothing.
Prints how good it is, and last the folder. Exit codes: 0, or 2 if the executor cannot be used.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from executor import ExecutorError
from trainer.game.tasks.task import AZR_NAMES
from trainer.warmstart.making import Made, averages, make
from trainer.warmstart.settings import WarmStart

CACHE = Path("runs") / "warmstart"


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    prepare_environment()
    settings = WarmStart()
    settings = replace(
        settings,
        corpus=replace(settings.corpus, seed=options.seed),
        training=replace(
            settings.training,
            seed=options.seed,
            tokens=options.tokens or settings.training.tokens,
        ),
    )
    try:
        made = make(settings, options.cache, options.executor)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer.warmstart", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of programs, weights and examples")
    parser.add_argument("--tokens", type=int, help="to train on; decides time and quality")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"folder (default: {CACHE})")
    parser.add_argument("--executor", default="nsjail", help="backend that runs the programs")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
