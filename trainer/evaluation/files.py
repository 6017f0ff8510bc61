"""Files of benchmarks in the formats that they are published in, read row by row."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, TextIO, cast

from trainer.evaluation.errors import EvaluationError

type Row = dict[str, Any]

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")


def find(folder: Path, names: Sequence[str], benchmark: str) -> tuple[Path, ...]:
    """The file of a benchmark: the first of ``names`` that the folder or one below it has.

    A name has no suffix, and upper and lower case are alike. Files of the same name with the
    numbers 2, 3... behind it are its further parts.

    Raises:
        EvaluationError: there is no such folder, or none of the files in it.
    """
    if not folder.is_dir():
        raise EvaluationError(f"--data {folder} is no folder")
    there: dict[str, Path] = {}
    for path in sorted(folder.rglob("*"), key=lambda path: (len(path.parts), path)):
        if path.is_file() and path.name.endswith(SUFFIXES):
            there.setdefault(path.name.lower(), path)
            there.setdefault(f"{path.parent.name}/{path.name}".lower(), path)
    for name in names:
        for suffix in SUFFIXES:
            if (found := there.get(f"{name}{suffix}".lower())) is not None:
                return (found, *_further(found, suffix))
    wanted = f"{names[0]}.jsonl"
    raise EvaluationError(
        f"{benchmark} needs a file {wanted} in {folder}: docs/evaluation.md says where it is from"
    )


def _further(path: Path, suffix: str) -> Iterator[Path]:
    stem = path.name[: -len(suffix)]
    for number in count(2):
        part = path.with_name(f"{stem}{number}{path.name[len(stem) :]}")
        if not part.is_file():
            return
        yield part


def rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers, from 1.

    Raises:
        EvaluationError: it cannot be read, or a row is no object; names the row.
    """
    try:
        for number, row in enumerate(_raw(path), 1):
            if not isinstance(row, dict):
                raise EvaluationError(f"{path}, row {number} is no object")
            yield number, row
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _raw(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(64):
                yield from batch.to_pylist()
        return
    with _opened(path) as lines:
        first = lines.readline()
        if path.suffix == ".json" or first.lstrip().startswith("["):
            yield from _loaded(first + lines.read(), path, "the file")
            return
        for number, line in enumerate(chain((first,), lines), 1):
            if line.strip():
                yield _loaded(line, path, f"line {number}")


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8"))
    return path.open(encoding="utf-8")


def _loaded(text: str, path: Path, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path}: {what} is no JSON: {error}") from None
