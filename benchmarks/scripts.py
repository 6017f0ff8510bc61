"""Scripts per second: small Python scripts in warm guests, and each in a jail of its own.

    python -m benchmarks.scripts [--seconds 5] [--concurrency 32] [--rounds 3]

Both ways take turns in one process, so that their ratio means something on a busy machine too.
Each output is checked, and each script is a different one. Exits with 1 if a script fails.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from rich.console import Console
from rich.table import Table

from executor import Executor, Script, ScriptResult

Run = Callable[[Script], Awaitable[ScriptResult]]


async def _measure(
    run: Run, seconds: float, concurrency: int, numbers: itertools.count[int]
) -> float:
    """Return scripts per second; raises ``RuntimeError`` if one is not answered as it should be."""
    end = time.monotonic() + seconds
    done = 0

    async def client() -> None:
        nonlocal done
        while time.monotonic() < end:
            number = next(numbers)
            result = await run(Script(source=f"print('hello', {number})"))
            if result.stdout != f"hello {number}\n".encode():
                raise RuntimeError(f"script {number}: {result}")
            done += 1

    start = time.monotonic()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return done / (time.monotonic() - start)


async def _compare(arguments: argparse.Namespace) -> list[tuple[float, float]]:
    numbers = itertools.count()
    rates = []
    async with Executor() as executor:
        await _measure(executor.run, 1, arguments.concurrency, numbers)  # starts the guests

        async def jailed(script: Script) -> ScriptResult:
            return await executor._run_in_jail(script, executor.limits)

        for _ in range(arguments.rounds):
            warm = await _measure(executor.run, arguments.seconds, arguments.concurrency, numbers)
            jail = await _measure(jailed, arguments.seconds, arguments.concurrency, numbers)
            rates.append((warm, jail))
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
    table = Table("round", "warm, runs/s", "jail, runs/s", "ratio")
    for number, (warm, jail) in enumerate(rates, 1):
        table.add_row(str(number), f"{warm:.0f}", f"{jail:.1f}", f"{warm / jail:.1f}")
    medians = [statistics.median(column) for column in zip(*rates, strict=True)]
    ratio = statistics.median(warm / jail for warm, jail in rates)
    table.add_row("median", f"{medians[0]:.0f}", f"{medians[1]:.1f}", f"{ratio:.1f}")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
