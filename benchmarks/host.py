"""Where the processor time of a validated triplet and of eight judged answers goes.

    python -m benchmarks.host [--data ../shared/data] [--rounds 5] [--rows 256] [--profile 40]

Of the host: this process, all its threads; of the guests: parsers, and zygotes with the processes
of runs. From these parts follows what a machine of many cores can do. With ``--profile`` also where
the host's time goes, by functions.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.throughput import WarmPool, data_sets, in_hand, read_triplets, sound_rows
from executor import Executor, Rules

_CORES = (1, 2, 64)
_SINGLE = "one run from source"


class Parts(NamedTuple):
    """Processor time by part."""

    host: float
    parsers: float
    runs: float


def used_so_far() -> Parts:
    """What each part has used, in seconds."""
    parsers = runs = 0.0
    for child in psutil.Process().children(recursive=True):
        command = child.cmdline()
        if any(part.endswith("guest/main.py") for part in command):
            seconds = sum(child.cpu_times()[:4])  # those of its children that have ended, too
            if "parser" in command:
                parsers += seconds
            else:
                runs += seconds
    return Parts(time.process_time(), parsers, runs)


async def used_by(work: Callable[[], Awaitable[object]], count: int) -> Parts:
    """Milliseconds for each item."""
    before = used_so_far()
    await work()
    after = used_so_far()
    return Parts._make((b - a) / count * 1000 for a, b in zip(before, after, strict=True))


async def measure(
    console: Console, title: str, paths: Sequence[Path], options: argparse.Namespace
) -> None:
    """Print one data set's numbers."""
    triplets = [triplet for path in paths for triplet in read_triplets(path)]
    async with Executor(cache=False, rules=Rules(banned_modules=())) as executor:
        rows = await sound_rows(executor, triplets, options.rows)
        warm = WarmPool(executor)
        works: dict[str, Callable[[], Awaitable[object]]] = {
            "validate one triplet": lambda: in_hand(warm.fresh(rows), warm.validated),
            "judge eight answers": lambda: in_hand(warm.fresh(rows), warm.judged),
            _SINGLE: lambda: warm.runs(rows),
        }
        table = Table(title=f"{title}: {len(rows)} rows, processor time, ms each")
        for column in ("work", "host", "all rounds", "parsers", "runs"):
            table.add_column(column)
        jobs = []
        for name, work in works.items():
            await work()
            rounds = [await used_by(work, len(rows)) for _ in range(options.rounds)]
            middle = Parts._make(statistics.median(part) for part in zip(*rounds, strict=True))
            host, parsers, runs = (f"{part:.3f}" for part in middle)
            table.add_row(name, host, " ".join(f"{r.host:.3f}" for r in rounds), parsers, runs)
            if name != _SINGLE:
                jobs.append(middle)
        console.print(table)
        whole = Parts._make(map(sum, zip(*jobs, strict=True)))
        for cores in _CORES:
            console.print(on_cores(whole, cores))
        for name, work in works.items() if options.profile else ():
            console.print(name)
            with cProfile.Profile(time.thread_time) as profile:
                await work()
            pstats.Stats(profile).sort_stats("tottime").print_stats(options.profile)


def on_cores(job: Parts, cores: int) -> str:
    """What so many cores can do of validating one triplet and judging eight answers, if nothing
    else limits them: with one host process, and with as many as it takes."""
    host, all_of_it = job.host, sum(job)
    one = min(1000 / host, cores * 1000 / all_of_it)
    return (
        f"{cores} cores, by calculation: {cores * 1000 / all_of_it:.0f} jobs/s; one host process "
        f"at most {one:.0f}, so {max(1, round(cores * host / all_of_it))} of them"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", default="../shared/data", help="directory of the data sets")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--rows", type=int, default=256, help="rows of each data set, at most")
    parser.add_argument("--profile", type=int, default=0, help="functions to print")
    options = parser.parse_args()
    console = Console(width=140)
    for title, paths in data_sets(Path(options.data)).items():
        asyncio.run(measure(console, title, paths, options))


if __name__ == "__main__":
    main()
