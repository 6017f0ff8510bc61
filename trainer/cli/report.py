"""``trainer report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="The run directory.")],
    out: Annotated[Path | None, typer.Option(help="Another file to write.")] = None,
) -> int:
    """Write RUN/report.html: plots and samples of a run, also of an unfinished one.

    Exit codes: 0, or 2 if there is nothing to report.
    """
    from trainer.report.page import write_report
    from trainer.report.run_files import NoRun

    try:
        path, missing = write_report(run, out)
    except (NoRun, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(path)
    for what in missing:
        print(f"missing: {what}")
    return 0
