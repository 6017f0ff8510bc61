"""Backends side by side: the same work on each, and the ratio to the first.

    python -m benchmarks.backends [--backends nsjail,docker,gvisor] [--rows 300] [--rounds 3]

Measured for each backend: the time until an executor with two workers is ready; triplets validated
per second in a batch, and the latency of one at a time; scripts per second, four at a time. Rounds
are interleaved and medians are printed: trust the ratios. The executor's cache is off.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from executor import BackendUnavailable, Executor, Script, Status, Triplet

_WORKERS = 2
_SINGLES = 30
_SCRIPTS = 16
_SCRIPTS_AT_ONCE = 4


class Measured(NamedTuple):
    """One round of one backend."""

    batch_per_s: float
    single_ms: float
    scripts_per_s: float


def triplets(count: int, tag: str) -> Iterator[Triplet]:
    """Distinct triplets, which take about no time themselves."""
    for n in range(count):
        program = f"def f(n):\n    return sum(range(n)) + {n}  # {tag}"
        yield Triplet(program=program, inputs=(str(n),))


async def measure(executor: Executor, rows: int, tag: str) -> Measured:
    """One round."""
    return Measured(
        await _batch_per_s(executor, rows, tag),
        await _single_ms(executor, tag),
        await _scripts_per_s(executor),
    )


async def _batch_per_s(executor: Executor, rows: int, tag: str) -> float:
    started = time.perf_counter()
    async for verdict in executor.validate_many(triplets(rows, f"batch {tag}"), ordered=False):
        assert verdict.status is Status.OK, verdict
    return rows / (time.perf_counter() - started)


async def _single_ms(executor: Executor, tag: str) -> float:
    taken = []
    for item in triplets(_SINGLES, f"single {tag}"):
        started = time.perf_counter()
        verdict = await executor.validate(item)
        taken.append(1000 * (time.perf_counter() - started))
        assert verdict.status is Status.OK, verdict
    return statistics.median(taken)


async def _scripts_per_s(executor: Executor) -> float:
    places = asyncio.Semaphore(_SCRIPTS_AT_ONCE)

    async def one() -> None:
        async with places:
            # A file is written: the script gets a fresh sandbox everywhere.
            result = await executor.run(Script(source="open('a', 'w').write('x')"))
            assert result.status is Status.OK, result

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(_SCRIPTS)))
    return _SCRIPTS / (time.perf_counter() - started)


async def compare(names: list[str], rows: int, rounds: int) -> None:
    """Measure, and print a table."""
    console = Console()
    found: dict[str, list[Measured]] = {}
    ready: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        executors = {}
        for name in names:
            started = time.perf_counter()
            try:
                executor = Executor(name, workers=_WORKERS, cache=False)
                executors[name] = await stack.enter_async_context(executor)
            except BackendUnavailable as error:
                console.print(f"{name}: left out: {error}")
                continue
            ready[name] = time.perf_counter() - started
        for number in range(rounds):
            for name, executor in executors.items():
                found.setdefault(name, []).append(await measure(executor, rows, f"{number}"))
    console.print(_table(ready, {name: _medians(given) for name, given in found.items()}))


def _medians(rounds: list[Measured]) -> Measured:
    return Measured(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def _table(ready: dict[str, float], found: dict[str, Measured]) -> Table:
    table = Table("backend", "ready", "batch", "one at a time", "scripts", title="backends")
    first = next(iter(found.values()), None)
    for name, it in found.items():
        assert first is not None
        table.add_row(
            name,
            f"{ready[name]:.1f} s",
            f"{it.batch_per_s:.0f}/s  {it.batch_per_s / first.batch_per_s:.2f}x",
            f"{it.single_ms:.1f} ms  {it.single_ms / first.single_ms:.2f}x",
            f"{it.scripts_per_s:.1f}/s  {it.scripts_per_s / first.scripts_per_s:.2f}x",
        )
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default="nsjail,docker,gvisor")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    asyncio.run(compare(given.backends.split(","), given.rows, given.rounds))


if __name__ == "__main__":
    main()
