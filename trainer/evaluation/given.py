"""Texts that exist already: what any tool has generated."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.files import rows
from trainer.evaluation.store import Line, Lines

_TOGETHER = 64


def take(path: Path, known: Collection[tuple[str, str]], generations: Lines) -> int:
    """Put the texts of a file into a run; returns how many problems they are for.

    A row has ``benchmark``, ``id``, and ``texts``: a list of texts, or of objects with ``text`` and
    perhaps ``tokens`` and ``cut``. Rows of other benchmarks are left out.

    Raises:
        EvaluationError: a row lacks something, or is for a problem that there is not; names it.
    """
    if not path.is_file():
        raise EvaluationError(f"there is no file {path} of generations")
    benchmarks = {benchmark for benchmark, _ in known}
    waiting: list[Line] = []
    taken = 0
    for number, row in rows(path):
        line = _line(row, f"{path}, row {number}")
        key = line["benchmark"], line["id"]
        if line["benchmark"] not in benchmarks or key in generations:
            continue
        if key not in known:
            raise EvaluationError(f"{path}, row {number}: {key[0]} has no problem {key[1]!r}")
        taken += 1
        waiting.append(line)
        if len(waiting) == _TOGETHER:
            generations.append(waiting)
            waiting = []
    generations.append(waiting)
    return taken


def _line(row: dict[str, Any], where: str) -> Line:
    try:
        texts = [_text(text) for text in row["texts"]]
        line = {"benchmark": str(row["benchmark"]), "id": str(row["id"]), "texts": texts}
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"{where} needs benchmark, id and texts, a list: {error!r}") from None
    if not texts:
        raise EvaluationError(f"{where} has no texts")
    return line


def _text(text: Any) -> Line:
    if isinstance(text, str):
        return {"text": text, "tokens": None, "cut": False}
    content = text["text"]
    if not isinstance(content, str):
        raise TypeError("a text is no text")
    return {"text": content, "tokens": text.get("tokens"), "cut": bool(text.get("cut"))}
