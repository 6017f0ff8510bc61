"""What several host processes cost and give: processor time of an item by part, and the bound.

    python -m benchmarks.fleet [--items 4000] [--processes 1,2,4]

For each number of processes the same triplets are validated, all of them different and tiny, so
that the guests answer at once. Processor time is that of the front process, which routes, of the
host processes together, and of their guests. An item costs every host process its share, the front
all of it: the bound of a machine of many cores is the smaller of the two rates.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from executor import Executor, ProcessFleet, Triplet
from executor.api.protocol import ObservedExecutor


class Cost(NamedTuple):
    """Processor milliseconds of an item, by part, and items per second."""

    processes: int
    front: float
    host: float
    guests: float
    rate: float
    wrong: int


def triplets(count: int, salt: int) -> list[Triplet]:
    """Triplets of which no two are the same."""
    return [
        Triplet(program=f"def f(x):\n    return x + {salt}{n:06d}", inputs=("1",))
        for n in range(count)
    ]


def seconds(process: psutil.Process) -> float:
    """Processor time of a process, without its children."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def parts(fleet: ObservedExecutor) -> tuple[float, float, float]:
    """Processor seconds so far: of the front, of the host processes, of guests that live."""
    me = psutil.Process()
    hosts = set(fleet.process_ids) if isinstance(fleet, ProcessFleet) else set()
    below = me.children(recursive=True)
    host = sum(seconds(process) for process in below if process.pid in hosts)
    guests = sum(seconds(process) for process in below if process.pid not in hosts)
    return seconds(me), host, guests


async def measure(processes: int, workers: int, count: int) -> Cost:
    """Validate, after a first part that is not counted."""
    fleet: ObservedExecutor = (
        ProcessFleet(processes=processes, workers=workers)
        if processes
        else Executor(workers=workers)
    )
    wrong = 0
    async with fleet:
        async for verdict in fleet.validate_many(triplets(count // 4, 1), ordered=False):
            wrong += not verdict.valid
        before, started = parts(fleet), time.perf_counter()
        async for verdict in fleet.validate_many(triplets(count, 2), ordered=False):
            wrong += verdict.outputs != (str(2_000_001 + verdict.index),)
        wall = time.perf_counter() - started
        front, host, guests = (
            1000 * (now - then) / count for now, then in zip(parts(fleet), before, strict=True)
        )
    return Cost(processes, front, host, guests, count / wall, wrong)


def main() -> int:
    """Measure, print, and return 1 if a verdict was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--processes", default="0,1,2,4", help="0: an Executor in this process")
    given = parser.parse_args()
    workers = max(4, 2 * len(os.sched_getaffinity(0)))
    table = Table(title="Processor milliseconds of a validated triplet")
    for name in ("processes", "front", "host, all", "guests", "items/s here", "bound by the hosts",
                 "bound by the front", "wrong"):  # fmt: skip
        table.add_column(name, justify="right")
    wrong = 0
    for count in map(int, given.processes.split(",")):
        cost = asyncio.run(measure(count, workers, given.items))
        wrong += cost.wrong
        by_hosts = 1000 * cost.processes / cost.host if cost.host else 0.0
        table.add_row(
            str(count), f"{cost.front:.3f}", f"{cost.host:.3f}", f"{cost.guests:.3f}",
            f"{cost.rate:.0f}", f"{by_hosts:.0f}", f"{1000 / cost.front:.0f}", str(cost.wrong),
        )  # fmt: skip
    Console().print(table)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
