"""The command ``trainer`` and its sub-commands. Without the name of one it trains."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from trainer.cli import evaluate, experiment, report, seed, tools, train, warmstart

app = typer.Typer(
    help="Train by self-play, and what is done before and after.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("train")(train.train)
app.command("plan")(train.plan)
app.add_typer(seed.app, name="seed")
app.command("evaluate")(evaluate.evaluate)
app.command("report")(report.report)
app.command("experiment")(experiment.experiment)
app.command("warmstart")(warmstart.warmstart)
app.add_typer(tools.app, name="tools")

_COMMANDS = (
    "train",
    "plan",
    "seed",
    "evaluate",
    "report",
    "experiment",
    "warmstart",
    "tools",
    "--help",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. ``arguments`` are without the program's name.

    ``preset=NAME ...`` alone means ``train preset=NAME ...``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in _COMMANDS:
        words.insert(0, "train")
    try:
        code = typer.main.get_command(app).main(words, _program_name(), standalone_mode=False)
    except typer.Abort:
        return 130
    except Exception as error:
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        print(f"error: {format_message()}", file=sys.stderr)
        return 2
    return int(code or 0)


def _program_name() -> str:
    return "python -m trainer" if Path(sys.argv[0]).name == "__main__.py" else "trainer"
