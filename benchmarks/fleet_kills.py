"""Fleets under fire: ``kill -9`` every few seconds. No item may be lost, wrong or ``infra``.

    python -m benchmarks.fleet_kills processes [--items 100000] [--every 2.0]
    python -m benchmarks.fleet_kills ray [--nodes 3]

Of a fleet of processes a host process is killed, of a Ray cluster (simulated nodes of this machine)
by turns the actor of a node and a node as a whole, for which another one joins. Nothing is killed
while fewer than two are there. At the end all nodes get the same programs, and must agree to the
byte. Exits with 1 if anything was lost or differs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from benchmarks.ray_cluster import Simulated
from executor import Limits, Options, ProcessFleet, RayFleet, Status, Triplet
from executor.fleet.executor import RoutedExecutor
from executor.fleet.work import Work

_LIMITS = Limits(wall_s=60)
_BACK_WITHIN_S = 300.0
_MIXED = (
    "def f(x):\n    return [x] * 3",
    "def f(x):\n    return 1 // x",
    "def f(x):\n    return {i: i / 7 for i in range(x)}",
    "def f(x):",
    "def f(x):\n    return sorted(map(str, range(x)))",
)


def items(count: int) -> Iterator[Triplet]:
    """Triplets of which no two are the same."""
    for number in range(count):
        program = f"def f(x):\n    return sum(i * i for i in range(x)) + {number}"
        yield Triplet(program=program, inputs=("100",))


async def fire(
    every_s: float, fleet: RoutedExecutor, kill: Callable[[random.Random], Awaitable[None]]
) -> int:
    """Kill until cancelled; how often."""
    chooser, kills = random.Random(0), 0
    try:
        while True:
            await asyncio.sleep(every_s)
            if len(fleet.members) > 1:
                await kill(chooser)
                kills += 1
    except asyncio.CancelledError:
        return kills


async def disagreements(fleet: RoutedExecutor, nodes: int) -> int:
    """Programs of which not all nodes say the same, once as many as at first are there."""
    async with asyncio.timeout(_BACK_WITHIN_S):
        while len(fleet.members) < nodes:  # noqa: ASYNC110 - nobody is told when one comes
            await asyncio.sleep(0.1)
    differ = 0
    for program in _MIXED:
        work = Work("validate", Triplet(program=program, inputs=("0", "5")), Options())
        verdicts = await asyncio.gather(*(node.submit(work) for node in fleet.members))
        differ += len({v.model_dump_json(exclude={"usage"}) for v in verdicts}) > 1
    return differ


async def measure(
    fleet: RoutedExecutor,
    kill: Callable[[random.Random], Awaitable[None]],
    nodes: int,
    count: int,
    every_s: float,
) -> bool:
    """Validate under fire, and print what became of it; whether all is right."""
    wrong, seen = [], 0
    started = time.perf_counter()
    killer = asyncio.create_task(fire(every_s, fleet, kill))
    async for verdict in fleet.validate_many(items(count), ordered=False):
        seen += 1
        if verdict.status is not Status.OK or verdict.outputs != (str(328350 + verdict.index),):
            wrong.append(f"item {verdict.index}: {verdict.status}: {verdict.detail}")
    wall = time.perf_counter() - started
    killer.cancel()
    kills = await killer
    differ = await disagreements(fleet, nodes)
    print(
        f"{seen} of {count} items in {wall:.0f} s ({seen / wall:.0f}/s), {kills} kills, "
        f"{fleet.repeated} items begun again, {fleet.copied} given to two; wrong or lost: "
        f"{count - seen + len(wrong)}; of {len(_MIXED)} programs on {len(fleet.members)} nodes "
        f"differ: {differ}"
    )
    for line in wrong[:10]:
        print(f"  {line}")
    return seen == count and not wrong and not differ and kills > 0


@contextlib.asynccontextmanager
async def processes(nodes: int) -> AsyncIterator[Any]:
    """A fleet of processes, and how one is killed."""
    async with ProcessFleet(processes=nodes, workers=2 * nodes, limits=_LIMITS) as fleet:

        async def kill(chooser: random.Random) -> None:
            os.kill(chooser.choice(fleet.process_ids), signal.SIGKILL)

        yield fleet, kill


@contextlib.asynccontextmanager
async def cluster(nodes: int) -> AsyncIterator[Any]:
    """A Ray cluster of simulated nodes, and how something of it is killed."""
    simulated = await asyncio.to_thread(Simulated, nodes)
    turns = itertools.cycle((True, False))
    try:
        async with RayFleet(
            address=simulated.address, processes=1, workers=2, limits=_LIMITS
        ) as fleet:

            async def kill(chooser: random.Random) -> None:
                if next(turns):
                    workers = await asyncio.to_thread(simulated.workers)
                    os.kill(chooser.choice(workers).pid, signal.SIGKILL)
                    return
                await asyncio.to_thread(simulated.do, f"kill {chooser.choice(fleet.nodes)}")
                await asyncio.to_thread(simulated.do, "add")

            yield fleet, kill
    finally:
        simulated.close()


async def run(what: str, nodes: int, count: int, every_s: float) -> bool:
    """Open, measure, close."""
    opened = processes(nodes) if what == "processes" else cluster(nodes)
    async with opened as (fleet, kill):
        return await measure(fleet, kill, nodes, count, every_s)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("processes", "ray"))
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between kills")
    given = parser.parse_args()
    return 0 if asyncio.run(run(given.what, given.nodes, given.items, given.every)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
