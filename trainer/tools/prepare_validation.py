"""Benchmark files for validation during training.

Every row is run: one that the executor refuses, or whose stated output is not what the program
gives, is reported and left out. The file goes into ``data.val_files``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from executor import Executor, Limits, Rules, TaskType, Triplet
from trainer.game.play.validation import BenchmarkError
from trainer.game.tasks.task import Kind, ProgramTask, Role
from trainer.tools import benchmark_sources as sources
from trainer.tools.validation_rows import BenchmarkRow

_LIMITS = Limits(wall_s=10, cpu_s=5)
_NO_BANS = Rules(banned_modules=(), min_parameters=0)

type Refusal = tuple[str, str]
"""The row, for people, and why it is left out."""


def check(
    tasks: Sequence[tuple[str, ProgramTask]], backend: str = "nsjail"
) -> tuple[list[ProgramTask], list[Refusal]]:
    """Run named tasks: the sound ones, with outputs as the executor writes them, and the rest.

    Raises:
        ExecutorError: the backend cannot be used.
    """
    return asyncio.run(_check(tasks, backend))


async def _check(
    tasks: Sequence[tuple[str, ProgramTask]], backend: str
) -> tuple[list[ProgramTask], list[Refusal]]:
    sound, refused = [], []
    triplets = (
        Triplet(program=task.snippet, inputs=(task.input,), outputs=(task.output,))
        for _, task in tasks
    )
    async with Executor(backend, limits=_LIMITS, rules=_NO_BANS) as executor:
        async for verdict in executor.validate_many(triplets):
            name, task = tasks[verdict.index]
            if verdict.valid and verdict.outputs[0] is not None:
                sound.append(replace(task, output=verdict.outputs[0]))
            else:
                refused.append((name, f"{verdict.status}: {verdict.detail}"))
    return sound, refused


def collect(
    named: Mapping[str, str | None], *, most: int | None, backend: str
) -> tuple[list[BenchmarkRow], list[Refusal]]:
    """The sound rows of benchmarks, and those that are left out.

    Args:
        named: For each of :data:`sources.BENCHMARKS` a file, or ``hub``; ``None``: not wanted.
        most: At most so many rows of each.
        backend: What runs them.

    Raises:
        BenchmarkError: a file cannot be read.
        ExecutorError: the backend cannot be used.
    """
    rows: list[BenchmarkRow] = []
    refused: list[Refusal] = []
    for name, benchmark in sources.BENCHMARKS.items():
        source = named.get(name)
        if source is None:
            continue
        raw = sources.read_raw(source, benchmark.hub_name)
        tasks, unread = _read(raw, benchmark.read, most)
        sound, failed = check(tasks, backend)
        refused += [(f"{benchmark.hub_name} {row}", reason) for row, reason in (*unread, *failed)]
        rows += _as_rows(sound, benchmark.names)
    return rows, refused


def _read(
    raw: Iterable[Mapping[str, Any]],
    read: Callable[[Mapping[str, Any]], ProgramTask],
    most: int | None,
) -> tuple[list[tuple[str, ProgramTask]], list[Refusal]]:
    tasks, refused = [], []
    for number, row in enumerate(raw):
        if most is not None and number >= most:
            break
        try:
            tasks.append((f"row {number}", read(row)))
        except BenchmarkError as error:
            refused.append((f"row {number}", str(error)))
    return tasks, refused


def _as_rows(tasks: Sequence[ProgramTask], names: Mapping[TaskType, str]) -> Iterator[BenchmarkRow]:
    for task_type, name in names.items():
        for task in tasks:
            yield BenchmarkRow(name, Kind(Role.SOLVE, task_type), task)
