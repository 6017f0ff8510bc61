"""A run's folder: what was generated and judged, a line for each problem, appended as it comes.

A line is written and synchronised as a whole. What a killed process left of one is cut off when
the folder is opened again, so every line is whole or is not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from trainer.evaluation.errors import EvaluationError
from trainer.files import write_atomically

type Line = dict[str, Any]

SETTINGS = "evaluation.json"


class Lines:
    """A file of JSON lines with ``benchmark`` and ``id``, to append to."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        _cut_torn_line(path)
        self._places: dict[tuple[str, str], int] = {}
        place = 0
        if path.exists():
            with path.open("rb") as file:
                for raw in file:
                    line = json.loads(raw)
                    self._places[line["benchmark"], line["id"]] = place
                    place += len(raw)
        self._end = place
        self._file = path.open("ab")

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def append(self, lines: Iterable[Line]) -> None:
        """Add lines; they are on the disk when this returns."""
        added = []
        for line in lines:
            raw = json.dumps(line, ensure_ascii=True).encode() + b"\n"
            self._places[line["benchmark"], line["id"]] = self._end
            self._end += len(raw)
            added.append(raw)
        self._file.write(b"".join(added))
        self._file.flush()
        os.fsync(self._file.fileno())

    def get(self, key: tuple[str, str]) -> Line | None:
        """The line of a problem, read from the file: none is kept in memory."""
        place = self._places.get(key)
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place)
            line: Line = json.loads(file.readline())
            return line

    def __iter__(self) -> Iterator[Line]:
        with self.path.open("rb") as file:
            for raw in file:
                yield json.loads(raw)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def keep_settings(folder: Path, settings: Line) -> None:
    """Write what a run is, or compare with what it was.

    Raises:
        EvaluationError: the folder has a run with other settings; names the first that differs.
    """
    path = folder / SETTINGS
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        for name in sorted(before.keys() | settings.keys()):
            if before.get(name) != settings.get(name):
                raise EvaluationError(
                    f"{folder} holds a run with {name}={_short(before.get(name))}, not "
                    f"{_short(settings.get(name))}: name another --out, or the same settings"
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(settings, indent=1) + "\n")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:80]}..."


def _cut_torn_line(path: Path) -> None:
    """Take off what stands behind the last line's end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        place = end
        while place:
            start = max(0, place - (1 << 16))
            file.seek(start)
            newline = file.read(place - start).rfind(b"\n")
            if newline >= 0:
                place = start + newline + 1
                break
            place = start
        if place != end:
            file.truncate(place)
