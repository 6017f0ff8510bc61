"""Kills: ``kill -9`` on random jails during a batch. No row may be lost, wrong, or ``infra``.

    python -m benchmarks.kills [--seconds 30] [--every 2.0]

Exits with 1 if one is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import psutil

from executor import Executor, Rules, Status, Triplet


class Outcome(NamedTuple):
    """What became of a batch under fire."""

    rows: int
    wrong: list[str]
    kills: int
    restarts: int
    statuses: Counter[Status]


def jails() -> list[psutil.Process]:
    """The jails of this process: of each its outer process, and the guest that it holds."""
    found = []
    for outer in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            inner = outer.children()
            if any(_is_guest(process) for process in (outer, *inner)):
                found += [outer, *inner]
    return found


def _is_guest(process: psutil.Process) -> bool:
    return any(part.endswith("guest/main.py") for part in process.cmdline())


def kill_one(chooser: random.Random) -> bool:
    """Kill -9 a random jail; whether there was one."""
    guests = jails()
    if not guests:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        chooser.choice(guests).kill()
    return True


def _rows(until: float) -> Iterator[Triplet]:
    number = 0
    while time.monotonic() < until:
        yield Triplet(
            program=f"def f(x):\n    return sum(i * i for i in range(x)) + {number}",
            inputs=("1000",),
        )
        number += 1


async def _fire(every_s: float, chooser: random.Random) -> int:
    kills = 0
    try:
        while True:
            await asyncio.sleep(every_s)
            kills += kill_one(chooser)
    except asyncio.CancelledError:
        return kills


async def run(seconds: float, every_s: float, seed: int = 0) -> Outcome:
    """Validate rows for some seconds while guests are killed."""
    wrong: list[str] = []
    statuses: Counter[Status] = Counter()
    count = 0
    async with Executor(cache=False, rules=Rules(banned_modules=())) as executor:
        killer = asyncio.create_task(_fire(every_s, random.Random(seed)))
        async for verdict in executor.validate_many(_rows(time.monotonic() + seconds)):
            statuses[verdict.status] += 1
            expected = str(332833500 + count)
            if verdict.index != count or not verdict.valid or verdict.outputs != (expected,):
                wrong.append(f"row {verdict.index}: {verdict.status}: {verdict.detail}")
            count += 1
        killer.cancel()
        kills = await killer
        return Outcome(count, wrong, kills, executor.pool.restarts, statuses)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcome = asyncio.run(run(options.seconds, options.every, options.seed))
    print(
        f"{outcome.rows} rows, {outcome.rows / options.seconds:.0f} rows/s, {outcome.kills} kills, "
        f"{outcome.restarts} jails replaced"
    )
    print("verdicts:", ", ".join(f"{count} {status}" for status, count in outcome.statuses.items()))
    print(f"lost or wrong: {len(outcome.wrong)}")
    for line in outcome.wrong[:20]:
        print(f"  {line}")
    return int(bool(outcome.wrong) or outcome.kills == 0)


if __name__ == "__main__":
    sys.exit(main())
