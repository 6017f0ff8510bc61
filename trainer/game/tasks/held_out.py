"""Programs that self-play must not use, because the model is to be tested on them."""

from __future__ import annotations

import json
from pathlib import Path

from trainer.game.errors import SeedError
from trainer.game.tasks.task import normal_source


def read_programs(path: str | None) -> frozenset[str]:
    """The programs of a jsonl file, as :func:`normal_source` has them; none without a file.

    A row has its program as ``snippet`` or, as validation files do, as ``problem``.

    Raises:
        SeedError: the file cannot be read, or a row has no program.
    """
    if path is None:
        return frozenset()
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise SeedError(f"azr.held_out_tasks: {path} cannot be read: {error}") from error
    return frozenset(normal_source(_program(row, path)) for row in rows)


def _program(row: object, path: str) -> str:
    source = row.get("snippet", row.get("problem")) if isinstance(row, dict) else None
    if not isinstance(source, str):
        raise SeedError(f"azr.held_out_tasks: {path} has a row without a program")
    return source
