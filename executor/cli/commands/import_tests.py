"""``executor import-tests``: files of data sets to rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from executor.errors import InputError
from executor.formats.readers import READERS, read_rows, row_json

_FORMATS = ", ".join(READERS)


def import_tests(
    name: Annotated[str, typer.Argument(metavar="FORMAT", help=f"One of {_FORMATS}.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, or a JSON list.")],
) -> int:
    """Turn a data set's file into rows for **judge**, on standard output.

    Nothing of the file is executed. Where it has solutions, they are the rows' **answers**: judging
    the rows shows whether they are right. Put a model's programs in their place.

    **Example:** `executor import-tests humaneval HumanEval.jsonl > rows.jsonl`
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for row in read_rows(name, lines):
                sys.stdout.write(row_json(row) + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return 0
