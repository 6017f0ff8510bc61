"""Judges programs in company and alone: no answer may tell what ran before it.

``python -m tests.security.fuzzing.company [--rows 10000] [--seed 0] [--backend nsjail]``

Each row is a program of ``company_programs.py``, judged with all of its arguments as answers of one
task, beside the rows of other programs and in the same guests; validated with all of them as inputs
of one triplet; and then the same with one argument at a time. Scores, statuses, values and errors
must be the same. The exit code is 1 if a row differs, and the row is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from executor import Executor, JudgeTask, Limits, Rules, TaskType, Triplet
from tests.security.fuzzing.company_programs import CompanyRow, company_row

LIMITS = Limits(wall_s=30, cpu_s=2, memory_mib=256, output_kib=256)
OPEN = Rules(banned_modules=(), min_parameters=0)
TOGETHER = 24
"""Rows that are in the executor at a time."""


class Seen(NamedTuple):
    """What came of one argument."""

    score: float | None
    status: str
    value: str | None
    """Of the argument as the input of a triplet, if it is sound."""


class Difference(NamedTuple):
    """A row that is not the same alone."""

    row: CompanyRow
    together: list[Seen]
    alone: list[Seen]


async def _observe(executor: Executor, row: CompanyRow, arguments: Sequence[str]) -> list[Seen]:
    task = JudgeTask(
        task=TaskType.ABDUCTION, program=row.program, inputs=arguments[:1], outputs=("1",),
        answers=tuple(arguments),
    )  # fmt: skip
    triplet = Triplet(program=row.program, inputs=tuple(arguments))
    judged, validated = await asyncio.gather(executor.judge(task), executor.validate(triplet))
    parts = zip(judged.scores, judged.statuses, validated.outputs, strict=True)
    return [Seen(score, str(status), output) for score, status, output in parts]


async def compare(executor: Executor, rows: Sequence[CompanyRow]) -> list[Difference]:
    """The rows that come out otherwise in company than alone."""
    places = asyncio.Semaphore(TOGETHER)

    async def one(row: CompanyRow) -> Difference | None:
        async with places:
            together = await _observe(executor, row, row.arguments)
            alone = [
                seen
                for argument in row.arguments
                for seen in await _observe(executor, row, (argument,))
            ]
        return Difference(row, together, alone) if together != alone else None

    found = await asyncio.gather(*map(one, rows))
    return [difference for difference in found if difference is not None]


async def _search(rows: int, seed: int, backend: str) -> int:
    numbers = random.Random(seed)
    differences = 0
    started = time.monotonic()
    async with Executor(backend, limits=LIMITS, rules=OPEN, cache=False) as executor:
        for at in range(0, rows, 1000):
            batch = [company_row(numbers) for _ in range(min(1000, rows - at))]
            for row, together, alone in await compare(executor, batch):
                differences += 1
                print(f"{row.program}\n{row.arguments}\n{together}\n{alone}\n", flush=True)
    print(f"{rows} rows, {differences} differ, {time.monotonic() - started:.0f} s")
    return int(differences > 0)


def main() -> int:
    """Search, print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="nsjail", choices=("nsjail", "docker", "gvisor"))
    options = parser.parse_args()
    return asyncio.run(_search(options.rows, options.seed, options.backend))


if __name__ == "__main__":
    sys.exit(main())
