"""The options that commands share, and how they become limits and rules."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from executor.cli.failure import CommandError
from executor.models import Limits, Rules

DEFAULTS = Limits()
RULES = Rules()

_LIMITS_PANEL = "Limits of one run"
_SCREENING_PANEL = "Screening of programs"
_BACKEND_PANEL = "Sandbox"


class Keyword(StrEnum):
    """Statements that can be banned."""

    RAISE = "raise"
    ASSERT = "assert"
    TRY = "try"


class Scoring(StrEnum):
    """How an induction answer is scored."""

    BINARY = "binary"
    FRACTION = "fraction"
    ANY = "any"


Rows = Annotated[str, typer.Argument(metavar="FILE", help="JSON lines to read; - is stdin.")]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", metavar="FILE", help="Where results go; stdout if not given."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors on stderr.")]
_BACKENDS = "nsjail, docker, gvisor, sandboxfusion, or process (no isolation: trusted code only)"
Backend = Annotated[
    str,
    typer.Option("--backend", metavar="NAME", help=f"{_BACKENDS}.", rich_help_panel=_BACKEND_PANEL),
]
Backends = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME[,NAME]",
        help=f"{_BACKENDS}; http: a service of 'executor serve'. Several names: all do every row, "
        "the first one's results are written, and disagreement is reported (exit code 4).",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
OneBackend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help=f"{_BACKENDS}; http: a service of 'executor serve'.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL[,URL]",
        help="Address for --backend http (token: $EXECUTOR_TOKEN) or sandboxfusion (token: "
        "$SANDBOX_FUSION_TOKEN). Several: for http.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
FusionUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Address for --backend sandboxfusion (token: $SANDBOX_FUSION_TOKEN).",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="NAME",
        help="Guest image for --backend docker or gvisor; $EXECUTOR_GUEST_IMAGE if not given.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="OCI runtime for --backend docker or gvisor.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", help="Warm sandboxes; two per core if not given."
    ),
]
Runs = Annotated[
    int, typer.Option("--runs", min=2, help="Fresh processes that must agree on every value.")
]
ErrorTask = Annotated[
    bool,
    typer.Option(
        "--error-task",
        help="All rows are error deduction: the outcome is an exception's name, or NoError.",
    ),
]
DefaultScoring = Annotated[
    Scoring,
    typer.Option("--scoring", help="Induction: all hidden pairs, their share, or at least one."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Also want equal types: 1 is not 1.0, nor True.")
]
BanModule = Annotated[
    list[str] | None,
    typer.Option(
        "--ban-module",
        metavar="NAME",
        help="Also refuse programs that use this module, or module.attribute. Repeatable.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
NoDefaultBans = Annotated[
    bool,
    typer.Option(
        "--no-default-bans",
        help="Drop the default list of banned modules.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
MinParameters = Annotated[
    int,
    typer.Option(
        "--min-parameters",
        min=0,
        help="Parameters that f must at least have.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
MaxSourceBytes = Annotated[
    int,
    typer.Option(
        "--max-source-bytes",
        min=1,
        metavar="N",
        help="Bytes that a program may have, its imports included.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
MaxDepth = Annotated[
    int,
    typer.Option(
        "--max-depth",
        min=1,
        max=200,
        metavar="N",
        help="Levels that a program may be nested.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
BanKeyword = Annotated[
    list[Keyword] | None,
    typer.Option(
        "--ban-keyword",
        help="Refuse programs with this statement. Repeatable.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]


def names(given: Sequence[str] | None) -> tuple[str, ...]:
    """The names in a list of options; each may hold several, with commas between them."""
    parts = [part.strip() for value in given or () for part in value.split(",")]
    return tuple(part for part in parts if part)


def _limit(name: str, text: str, envvar: str | None = None) -> Any:
    return typer.Option(name, metavar="N", help=text, rich_help_panel=_LIMITS_PANEL, envvar=envvar)


_WALL = ("--wall-s", "Wall-clock seconds.")
_CPU = ("--cpu-s", "Seconds of processor time.")
WallS = Annotated[float, _limit(*_WALL)]
CpuS = Annotated[int, _limit(*_CPU)]
ServedWallS = Annotated[float, _limit(*_WALL, "EXECUTOR_WALL_S")]
ServedCpuS = Annotated[int, _limit(*_CPU, "EXECUTOR_CPU_S")]
MemoryMib = Annotated[int, _limit("--memory-mib", "MiB beyond the bare interpreter.")]
OutputKib = Annotated[int, _limit("--output-kib", "KiB of the value.")]
StreamKib = Annotated[int, _limit("--output-kib", "KiB of stdout, and of stderr.")]
RowTexts = Annotated[int, _limit("--row-texts", "Inputs, pairs or answers of a row.")]
RowS = Annotated[float, _limit("--row-s", "Seconds of all runs of a row, or of an answer.")]
RowMib = Annotated[int, _limit("--row-mib", "MiB of a row's outputs, as text.")]
Processes = Annotated[int, _limit("--processes", "Processes and threads at once.")]
FilesMib = Annotated[int, _limit("--files-mib", "MiB of files written.")]


def limits(**given: float) -> Limits:
    """The limits, checked.

    Raises:
        CommandError: one is out of its range.
    """
    try:
        return Limits.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        message = first["msg"].removeprefix("Input ")
        raise CommandError(f"{option} {message}, not {first['input']}") from None


def rules(
    base: Rules,
    ban_module: Sequence[str] | None,
    ban_keyword: Sequence[Keyword] | None,
) -> Rules:
    """The screening rules: some to begin with, and what is banned in addition.

    Raises:
        CommandError: a banned module has no name of a module.
    """
    for name in ban_module or ():
        if not all(part.isidentifier() for part in name.split(".")):
            raise CommandError(f"--ban-module {name!r} is not the name of a module")
    return base.model_copy(
        update={
            "banned_modules": (*base.banned_modules, *(ban_module or ())),
            "banned_keywords": tuple(keyword.value for keyword in ban_keyword or ()),
        }
    )
