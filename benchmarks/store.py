"""What a hit of the store of proven results costs.

    python -m benchmarks.store [--entries 1000] [--rounds 5]

Entries are written as an executor writes them, then read by a store that was opened anew: found,
their seal checked, and read into results. Printed are microseconds of processor time of this
process for each hit, the best and the middle of some rounds, for values of several sizes: from an
SQLite file, one after the other; and from a Redis server (if ``redis-server`` is installed), 64 at
a time as an executor asks them, and one after the other. The parts of a hit are measured too. The
last row is a whole validation of ``Executor.validate`` whose program is not run, for the store
knows it. Exits with 1 if a hit was none, or if one of a small value from SQLite costs 50
microseconds or more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from executor import Executor, StoreSettings, Triplet
from executor.grammar.encode import encode
from executor.pool.engine import Used
from executor.store.seal import name_of
from executor.store.store import Store
from executor.verification.computed import Computed
from executor.verification.stored import StoredResults, read_computed
from executor.verification.values import Value

_VALUES: dict[str, object] = {
    "an integer": 12345,
    "a text of 1 KiB": "x" * 1024,
    "a text of 16 KiB": "x" * 16_384,
    "a list of 30 integers": list(range(1000, 1030)),
    "a list of 1,000 integers": list(range(1000, 2000)),
}
_SMALL = ("an integer", "a text of 1 KiB", "a list of 30 integers")
"""Values of a usual size, for which the bound holds."""
_WANTED_US = 50.0
_AT_A_TIME = 64
_START_S = 10.0


class Hits(NamedTuple):
    """Microseconds of processor time a hit."""

    what: str
    best: float
    middle: float
    missed: int


def triplet(number: int) -> Triplet:
    """One of many."""
    return Triplet(program=f"def f(x):\n    return x * 2 + {number}", inputs=("1",))


def key_of(number: int, value: str) -> str:
    """A content key, as long as one of an executor."""
    return f"{number:032x}{value:>32}"


async def fill(store: Store, results: StoredResults, count: int, value: str) -> None:
    """Write entries of one value."""
    data = encode(_VALUES[value])
    for number in range(count):
        computed = Computed((Value(data),), Used(700, 500, 9000), 2, (frozenset(),))
        results.put(key_of(number, value), triplet(number), computed)
        if number % 1000 == 999:
            await store.flush()
    await store.flush()


async def one_by_one(results: StoredResults, count: int, value: str) -> int:
    """Ask for all of a value; how many were missing."""
    missed = 0
    for number in range(count):
        missed += await results.get(key_of(number, value)) is None
    return missed


async def together(results: StoredResults, count: int, value: str) -> int:
    """The same, some at a time."""
    missed = 0
    for start in range(0, count, _AT_A_TIME):
        numbers = range(start, min(count, start + _AT_A_TIME))
        found = await asyncio.gather(*(results.get(key_of(number, value)) for number in numbers))
        missed += found.count(None)
    return missed


async def measure(what: str, ask: Callable[[], Awaitable[int]], count: int, rounds: int) -> Hits:
    """Ask some times over."""
    taken, missed = [], 0
    for _ in range(rounds):
        before = time.process_time()
        missed += await ask()
        taken.append(1e6 * (time.process_time() - before) / count)
    return Hits(what, min(taken), statistics.median(taken), missed)


@contextlib.asynccontextmanager
async def results_of(settings: StoreSettings) -> AsyncIterator[tuple[Store, StoredResults]]:
    """A store that is opened anew, and the part of it that is used here."""
    store = Store(settings, {"version": "1"})
    await store.open()
    try:
        yield store, StoredResults(store.section({"limits": {"wall_s": 5.0}, "runs": 2}))
    finally:
        await store.close()


async def of_shelf(name: str, settings: StoreSettings, count: int, rounds: int) -> list[Hits]:
    """All values on one kind of store."""
    ways = {"one by one": one_by_one, **({f"{_AT_A_TIME} at a time": together}
                                         if settings.is_redis else {})}  # fmt: skip
    async with results_of(settings) as (store, results):
        for value in _VALUES:
            await fill(store, results, count, value)
    async with results_of(settings) as (_, results):
        return [
            await measure(
                f"{name}, {how}: {value}", partial(way, results, count, value), count, rounds
            )
            for value in _VALUES
            for how, way in ways.items()
        ]


async def parts(folder: str, count: int) -> list[Hits]:
    """The parts of a hit in SQLite, for a small value."""
    value = "an integer"
    async with results_of(StoreSettings(url=f"{folder}/verdicts.db")) as (store, results):
        seal, shelf, situation = store._seal, store._shelf, results._section._situation
        assert seal is not None
        names = [name_of(key_of(number, value), situation) for number in range(count)]
        entries = [await shelf.get(name) or b"" for name in names]
        opened = [seal.open(name, entry) for name, entry in zip(names, entries, strict=True)]

        async def look() -> int:
            return [await shelf.get(name) for name in names].count(None)

        async def name() -> int:
            return [name_of(key_of(n, value), situation) for n in range(count)].count(b"")

        async def check() -> int:
            return [
                seal.open(name, entry) for name, entry in zip(names, entries, strict=True)
            ].count(None)

        async def read() -> int:
            return sum(read_computed(one).runs != 2 for one in opened if one is not None)

        steps = {"name": name, "look up": look, "check the seal": check, "read": read}
        return [await measure(f"  of it: {what}", step, count, 5) for what, step in steps.items()]


async def whole(folder: str, count: int, rounds: int) -> Hits:
    """Validations that the store knows all about."""
    path = f"{folder}/whole.db"
    async with Executor(store=path, cache=False) as executor:
        async for _ in executor.validate_many(map(triplet, range(count))):
            pass

    async with Executor(store=path, cache=False) as executor:

        async def ask() -> int:
            return sum([not (await executor.validate(triplet(n))).valid for n in range(count)])

        found = await measure("a whole validation (SQLite)", ask, count, rounds)
        stats = executor.stats().store
        assert stats is not None
        return found._replace(missed=found.missed + stats.misses)


@contextlib.contextmanager
def redis_server(folder: str) -> Iterator[StoreSettings | None]:
    """A server on a socket, if there is one to be started."""
    if shutil.which("redis-server") is None:
        yield None
        return
    key, place = Path(folder, "store.key"), Path(folder, "redis.sock")
    key.write_bytes(os.urandom(32))
    command = ["redis-server", "--port", "0", "--unixsocket", str(place), "--save", "",
               "--appendonly", "no", "--dir", folder]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_S
        while not place.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield StoreSettings(url=f"unix://{place}", key_file=str(key), patience_s=10)
    finally:
        process.terminate()
        process.wait()


async def run(count: int, rounds: int) -> list[Hits]:
    """Everything."""
    found: list[Hits] = []
    with tempfile.TemporaryDirectory() as folder:
        sqlite = StoreSettings(url=f"{folder}/verdicts.db")
        found += await of_shelf("SQLite", sqlite, count, rounds)
        found[1:1] = await parts(folder, count)
        with redis_server(folder) as settings:
            if settings is not None:
                found += await of_shelf("Redis", settings, count, rounds)
        found.append(await whole(folder, min(count, 1000), rounds))
    return found


def main() -> int:
    """Measure, print, and return 1 if it is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found = asyncio.run(run(given.entries, given.rounds))
    table = Table(title="Processor microseconds of a hit")
    table.add_column("of")
    for name in ("best", "middle", "missed"):
        table.add_column(name, justify="right")
    for hits in found:
        table.add_row(hits.what, f"{hits.best:.1f}", f"{hits.middle:.1f}", str(hits.missed))
    Console(width=100).print(table)
    slow = [
        hits for hits in found
        if hits.what.startswith("SQLite") and hits.what.endswith(_SMALL) and hits.best >= _WANTED_US
    ]  # fmt: skip
    return 1 if slow or any(hits.missed for hits in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
