"""``python -m trainer.tools.prepare_validation``: benchmark files for validation during training.

Every row is run: one that the executor refuses, or whose stated output is not what the program
gives, is reported and left out. The file goes into ``data.val_files``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from executor import Executor, ExecutorError, Limits, Rules, TaskType, Triplet
from trainer.game.errors import TemplateError
from trainer.game.play.validation import BenchmarkError
from trainer.game.settings import AzrSettings, GameSettings, RewardFnSettings
from trainer.game.tasks.task import Kind, ProgramTask, Role
from trainer.game.texts.prompts.render import PromptBook
from trainer.tools import benchmark_sources as sources
from trainer.tools.validation_rows import BenchmarkRow, write_rows

_LIMITS = Limits(wall_s=10, cpu_s=5)
_NO_BANS = Rules(banned_modules=(), min_parameters=0)

type Refusal = tuple[str, str]
"""The row, for people, and why it is left out."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code: 0, or 2 if nothing could be made."""
    options = _parser().parse_args(arguments)
    try:
        prompts = _prompts(options)
        rows, refused = _collect(options)
        if not rows:
            raise BenchmarkError("no row is left; nothing is written")
        write_rows(options.out, rows, prompts)
    except (BenchmarkError, ExecutorError, TemplateError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for row, reason in refused:
        print(f"left out: {row}: {reason}", file=sys.stderr)
    counts = Counter(row.data_source for row in rows)
    listed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"{options.out}: {listed}; {len(refused)} rows left out")
    return 0


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


def _collect(options: argparse.Namespace) -> tuple[list[BenchmarkRow], list[Refusal]]:
    rows: list[BenchmarkRow] = []
    refused: list[Refusal] = []
    for source, hub_name, read, names in (
        (options.cruxeval, sources.CRUXEVAL, sources.cruxeval, sources.CRUXEVAL_NAMES),
        (
            options.livecodebench,
            sources.LIVECODEBENCH,
            sources.livecodebench,
            sources.LIVECODEBENCH_NAMES,
        ),
    ):
        if source is None:
            continue
        raw = sources.read_raw(source, hub_name)
        tasks, unread = _read(raw, read, options.max_rows)
        sound, failed = check(tasks, options.executor)
        refused += [(f"{hub_name} {name}", reason) for name, reason in (*unread, *failed)]
        rows += _as_rows(sound, names)
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


def _prompts(options: argparse.Namespace) -> PromptBook:
    """The prompts of the file are for people and for veRL's length filter; a run makes its own."""
    azr = AzrSettings(prompts_dir=options.prompts_dir)
    reward_fn = RewardFnSettings(extraction_type=options.extraction_type)
    return PromptBook(GameSettings(azr=azr, reward_fn=reward_fn))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer.tools.prepare_validation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cruxeval", metavar="FILE|hub", help="CRUXEval: a jsonl, json or parquet file, or 'hub'"
    )
    parser.add_argument(
        "--livecodebench", metavar="FILE|hub", help="LiveCodeBench's execution task, likewise"
    )
    parser.add_argument("--out", type=Path, required=True, help="the parquet file to write")
    parser.add_argument("--max-rows", type=int, help="at most so many rows of each source")
    parser.add_argument(
        "--executor", default="nsjail", help="backend that checks the rows (default: nsjail)"
    )
    parser.add_argument(
        "--extraction-type",
        default="answer_conditional",
        choices=["answer_conditional", "boxed_conditional"],
        help="as reward_fn.extraction_type of the run",
    )
    parser.add_argument("--prompts-dir", help="as azr.prompts_dir of the run")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
