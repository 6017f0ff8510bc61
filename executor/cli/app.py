"""The command-line program: its commands, its version, and how errors are shown."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from executor.cli.commands import image
from executor.cli.commands.doctor import doctor
from executor.cli.commands.import_tests import import_tests
from executor.cli.commands.judge import judge
from executor.cli.commands.replay import replay
from executor.cli.commands.run import run
from executor.cli.commands.serve import serve
from executor.cli.commands.verify import verify
from executor.cli.failure import EXIT_INFRA, EXIT_UNUSABLE, CommandError
from executor.errors import BackendUnavailable, ConfigurationError, ExecutorError, InputError
from executor.version import version

_UNUSABLE = (ConfigurationError, BackendUnavailable, InputError)

app = typer.Typer(
    name="executor",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(verify)
app.command()(judge)
app.command()(import_tests)
# What stands behind SCRIPT is the script's, options included.
app.command(context_settings={"allow_interspersed_args": False})(run)
app.add_typer(image.app, name="image")
app.command()(doctor)
app.command()(replay)
app.command()(serve)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"executor {version()}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def _executor(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Run, validate and judge model-written Python in a hardened sandbox.

    Exit codes: 0 all rows processed, 2 unusable arguments or files, 3 the platform failed for some
    row, 4 backends that were compared disagree, 130 interrupted.

    **Example:** `executor verify triplets.jsonl --out verdicts.jsonl`
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. ``argv`` is without the program's name."""
    command = typer.main.get_command(app)
    try:
        result = command.main(
            args=None if argv is None else list(argv),
            prog_name=_program_name(),
            standalone_mode=False,
        )
    except CommandError as error:
        return _fail(str(error), error.exit_code)
    except ExecutorError as error:
        return _fail(str(error), EXIT_UNUSABLE if isinstance(error, _UNUSABLE) else EXIT_INFRA)
    except Exception as error:
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        return _fail(f"{format_message()} {_help_hint(error)}", EXIT_UNUSABLE)
    return int(result or 0)


def _help_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else _program_name()
    return f"(see '{path} --help')"


def _program_name() -> str:
    started_as_module = Path(sys.argv[0]).name == "__main__.py"
    return "python -m executor" if started_as_module else "executor"


def _fail(message: str, exit_code: int) -> int:
    line = " ".join(message.replace("Value error, ", "").split())
    print(f"executor: error: {line}", file=sys.stderr)
    return exit_code
