"""Scripts per second, by each of the ways in which a script can be run.

    python -m benchmarks.scripts [--seconds 5] [--concurrency 32] [--rounds 3]

``warm`` is a small Python script in a warm guest; ``jail`` the same in a warm jail, ``bash`` a
small bash script there; ``new`` the Python script in a jail that is started for it. The ways take
turns in one process, so that their ratios mean something on a busy machine too; ``ms`` is the
processor time of a run, of the host and of all that it starts. Each output is checked, and each
script is a different one. Exits with 1 if a script fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from executor import Executor, Script, ScriptResult
from executor.backends.nsjail.backend import NsjailBackend

Run = Callable[[Script], Awaitable[ScriptResult]]


class Rate(NamedTuple):
    """What one way has done in one round."""

    runs_per_s: float
    cpu_ms: float
    """Of a run."""


def _cpu_s() -> float:
    """Processor time so far of this process and of all below it, ended ones included."""
    host = psutil.Process()
    total = 0.0
    for process in (host, *host.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


async def _measure(
    run: Run, bash: bool, seconds: float, concurrency: int, numbers: itertools.count[int]
) -> Rate:
    """Raises ``RuntimeError`` if a script is not answered as it should be."""
    end = time.monotonic() + seconds
    done = 0

    async def client() -> None:
        nonlocal done
        while time.monotonic() < end:
            number = next(numbers)
            source = f"echo hello {number}" if bash else f"print('hello', {number})"
            result = await run(Script(source=source, language="bash" if bash else "python"))
            if result.stdout != f"hello {number}\n".encode():
                raise RuntimeError(f"script {number}: {result}")
            done += 1

    start, used = time.monotonic(), _cpu_s()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return Rate(done / (time.monotonic() - start), (_cpu_s() - used) * 1000 / done)


async def _compare(arguments: argparse.Namespace) -> dict[str, list[Rate]]:
    numbers = itertools.count()
    async with Executor() as executor:
        backend = executor.pool.backend
        assert isinstance(backend, NsjailBackend)
        places = asyncio.Semaphore(executor.info.workers)

        async def in_jail(script: Script) -> ScriptResult:
            return await executor._run_in_jail(script, executor.limits)

        async def in_new_jail(script: Script) -> ScriptResult:
            async with places:
                return await backend.run_in_new_jail(script, executor.limits)

        ways: dict[str, tuple[Run, bool]] = {
            "warm": (executor.run, False),
            "jail": (in_jail, False),
            "bash": (in_jail, True),
            "new": (in_new_jail, False),
        }
        rates: dict[str, list[Rate]] = {name: [] for name in ways}
        for run, bash in ways.values():  # starts the guests
            await _measure(run, bash, 1, arguments.concurrency, numbers)
        for _ in range(arguments.rounds):
            for name, (run, bash) in ways.items():
                rates[name].append(
                    await _measure(run, bash, arguments.seconds, arguments.concurrency, numbers)
                )
    return rates


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.scripts")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    console = Console()
    try:
        rates = asyncio.run(_compare(arguments))
    except RuntimeError as error:
        console.print(f"[red]{error}")
        return 1
    titles = [f"{name}, {unit}" for name in rates for unit in ("runs/s", "ms")]
    table = Table("round", *titles)
    rounds = list(zip(*rates.values(), strict=True))
    for number, row in enumerate(rounds, 1):
        table.add_row(str(number), *_cells(row))
    medians = [
        Rate(*(statistics.median(column) for column in zip(*way, strict=True)))
        for way in rates.values()
    ]
    table.add_row("median", *_cells(medians))
    console.print(table)
    return 0


def _cells(row: list[Rate] | tuple[Rate, ...]) -> list[str]:
    return [text for rate in row for text in (f"{rate.runs_per_s:.1f}", f"{rate.cpu_ms:.1f}")]


if __name__ == "__main__":
    sys.exit(main())
