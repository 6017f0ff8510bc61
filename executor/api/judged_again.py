"""Judges once more what a file of judgements holds, and compares.

A line of the file is a JSON object: ``task`` (a :class:`~executor.models.JudgeTask` with its
answers), ``scores``, and where they are known ``key``, ``limits`` and ``libraries``: what it was
judged under. The file may be compressed by gzip.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, cast

from pydantic import ValidationError

from executor.api.protocol import ObservedExecutor
from executor.api.replay import Replayed
from executor.api.streaming import stream
from executor.errors import ConfigurationError
from executor.models import Judgement, JudgeTask, Limits, Options, Status

SUFFIXES = (".jsonl", ".jsonl.gz")
_WINDOW = 16
_LIMITS = Limits()


class _Kept(NamedTuple):
    key: str
    task: JudgeTask
    options: Options
    scores: tuple[float | None, ...]


async def judge_again(
    path: Path, make: Callable[[Limits], ObservedExecutor], most: int | None = None
) -> AsyncGenerator[Replayed, None]:
    """Judge the lines of a file again, and say of each whether its scores are the same.

    Args:
        path: the file; it is read line by line, and only read.
        make: makes an executor with these limits, without a cache and a store.
        most: lines, if not all.

    Raises:
        ConfigurationError: the file cannot be read, or a line is no judgement; names the line.
    """
    async with make(_ceiling(islice(_read(path), most))) as executor:

        async def work(_: int, kept: _Kept) -> Replayed:
            judgement = await executor.judge(kept.task, options=kept.options)
            return _compared(kept, judgement)

        lines = islice(_read(path), most)
        async with aclosing(stream(lines, work, window=_WINDOW, ordered=False)) as results:
            async for result in results:
                yield result


def _read(path: Path) -> Iterator[_Kept]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with cast("IO[bytes]", opened(path, "rb")) as file:
            for number, line in enumerate(file, 1):
                try:
                    yield _kept(line)
                except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
                    reason = " ".join(str(error).split())[:200]
                    raise ConfigurationError(
                        f"{path}, line {number} is no judgement: {reason or type(error).__name__}"
                    ) from None
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


def _kept(line: bytes) -> _Kept:
    fields = json.loads(line)
    limits = fields.get("limits")
    return _Kept(
        str(fields.get("key") or ""),
        JudgeTask.model_validate(fields["task"]),
        Options(
            limits=Limits.model_validate(limits) if limits else _LIMITS,
            libraries=fields.get("libraries"),
        ),
        tuple(fields["scores"]),
    )


def _ceiling(lines: Iterator[_Kept]) -> Limits:
    """The most that any line was judged with."""
    found: Limits | None = None
    for kept in lines:
        one = kept.options.limits or _LIMITS
        if found is None or one == found:
            found = one
        else:
            highest = {name: max(getattr(found, name), getattr(one, name)) for name in _NAMES}
            found = Limits(**highest)
    if found is None:
        raise ConfigurationError("the file holds no judgement")
    return found


_NAMES = tuple(Limits.model_fields)


def _compared(kept: _Kept, judgement: Judgement) -> Replayed:
    details = [
        detail
        for detail, now, then in zip(judgement.details, judgement.scores, kept.scores, strict=False)
        if now != then
    ]
    return Replayed(
        kept.key or judgement.key,
        None if Status.INFRA in judgement.statuses else judgement.scores == kept.scores,
        details[0] if details else "",
        tuple(str(score) for score in kept.scores),
        tuple(str(score) for score in judgement.scores),
        ("conditions",) if kept.key and kept.key != judgement.key else (),
        str(kept.task.id or ""),
    )
