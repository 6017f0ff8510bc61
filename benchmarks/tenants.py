"""What one tenant's flood does to another one: single calls of a quiet tenant, with and without it.

    python -m benchmarks.tenants [--seconds 20] [--clients 64] [--workers 2] [--rounds 3]

A real server with two tenants of the same weight. The quiet one validates small programs, one at a
time with pauses, first alone and then beside the flood, by turns. The flood comes from processes of
its own, as calls (``calls``) and as batches (``batches``); its programs take some milliseconds.
``p99`` is of the quiet tenant's calls, and ``times`` its ratio to that without a flood. Since the
flood's clients and all guests share the processors of this machine, a third kind of flood burns
processors without asking the server for anything (``processors``): what is not more than that is
the machine's, not the service's. Exits with 1 if a call failed, or if a flood raises p99 to twice
that of the quiet tenant alone and of ``processors``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
from rich.console import Console
from rich.table import Table

from benchmarks.serving import serving

_TOKENS = {name: f"the token of {name}" for name in ("quiet", "flood")}
_PAUSE_S = 0.02
_WANTED = 2.0
_FLOODS = ("none", "processors", "calls", "batches")
_BATCH = 500


class Served(NamedTuple):
    """Milliseconds of the quiet tenant's calls."""

    flood: str
    times_ms: tuple[float, ...]
    failed: int
    flooded: int
    """Items of the flood that were done, while it lasted."""

    @property
    def p50(self) -> float:
        return statistics.median(self.times_ms)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.times_ms, n=100)[98]


def quiet_item(number: int) -> dict[str, object]:
    """A program of some milliseconds."""
    program = f"def f(x):\n    return sum(i * i for i in range(x)) + {number}"
    return {"program": program, "inputs": ["100000"]}


def flood_item(number: int) -> dict[str, object]:
    """A program of as many."""
    program = f"def f(x):\n    return sum(i * i for i in range(x)) - {number}"
    return {"program": program, "inputs": ["100000"]}


def session(url: str, tenant: str, connections: int) -> aiohttp.ClientSession:
    """The connections of a tenant."""
    return aiohttp.ClientSession(
        url,
        headers={"authorization": f"Bearer {_TOKENS[tenant]}"},
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=300),
    )


# ---- the flood, in a process of its own ----------------------------------------------------------


async def calls(http: aiohttp.ClientSession, salt: int) -> None:
    """One call after the other; who is refused waits as long as he is told."""
    number = salt << 32
    while True:
        number += 1
        async with http.post("/v1/validate", json=flood_item(number)) as response:
            await response.read()
            wait_s = float(response.headers.get("retry-after", "0"))
        await asyncio.sleep(wait_s)


async def batches(http: aiohttp.ClientSession, salt: int) -> None:
    """One batch after the other."""
    number = salt << 32
    while True:
        lines = [json.dumps(flood_item(number + n)) for n in range(_BATCH)]
        number += _BATCH
        body = "\n".join([*lines, ""])
        kind = {"content-type": "application/x-ndjson"}
        async with http.post("/v1/validate/batch", data=body, headers=kind) as response:
            await response.read()
            wait_s = float(response.headers.get("retry-after", "0"))
        await asyncio.sleep(wait_s)


async def flood(kind: str, url: str, clients: int) -> None:
    """For ever."""
    if kind == "processors":
        while True:
            sum(range(1_000_000))
    way = calls if kind == "calls" else batches
    async with session(url, "flood", clients) as http:
        await asyncio.gather(*(way(http, os.getpid() * 1000 + n) for n in range(clients)))


@contextlib.contextmanager
def flooding(kind: str, url: str, clients: int) -> Iterator[None]:
    """A flood, for a block."""
    count = {"none": 0, "processors": len(os.sched_getaffinity(0))}.get(kind, 1)
    command = [sys.executable, "-m", "benchmarks.tenants", "--flood", kind, "--url", url]
    processes = [
        subprocess.Popen([*command, "--clients", str(clients)], stderr=subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        time.sleep(3 if count else 0)  # until it is there
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


# ---- the quiet tenant ----------------------------------------------------------------------------


async def done_by_flood(http: aiohttp.ClientSession) -> int:
    """Items of the flood so far."""
    async with http.get("/metrics") as response:
        text = await response.text()
    wanted = 'executor_tenant_items_total{tenant="flood"} '
    found = [line for line in text.splitlines() if line.startswith(wanted)]
    return int(float(found[0].removeprefix(wanted))) if found else 0


async def quiet(kind: str, url: str, seconds: float, first: int) -> Served:
    """Calls with pauses, one at a time."""
    times, failed, number = [], 0, first
    async with session(url, "quiet", 2) as http:
        before = await done_by_flood(http)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            number += 1
            started = time.perf_counter()
            async with http.post("/v1/validate", json=quiet_item(number)) as response:
                answer = await response.json()
            times.append(1000 * (time.perf_counter() - started))
            failed += response.status != 200 or answer["status"] != "ok"
            await asyncio.sleep(_PAUSE_S)
        return Served(kind, tuple(times), failed, await done_by_flood(http) - before)


def measure(options: argparse.Namespace) -> list[Served]:
    """All floods by turns."""
    seen: dict[str, list[Served]] = {kind: [] for kind in _FLOODS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tenants.toml")
        path.write_text("".join(f'[{n}]\ntoken = "{t}"\n' for n, t in _TOKENS.items()))
        workers = str(options.workers)
        with serving("--tenants", str(path), "--workers", workers) as server:
            for turn in range(options.rounds):
                for place, kind in enumerate(_FLOODS):
                    first = (turn * len(_FLOODS) + place) << 24
                    with flooding(kind, server.url, options.clients):
                        seconds = options.seconds
                        seen[kind].append(asyncio.run(quiet(kind, server.url, seconds, first)))
    return [
        Served(
            kind,
            tuple(ms for each in some for ms in each.times_ms),
            sum(each.failed for each in some),
            sum(each.flooded for each in some),
        )
        for kind, some in seen.items()
    ]


def report(seen: list[Served], seconds: float) -> bool:
    """Print; whether it is as it should be."""
    table = Table(title="Calls of the quiet tenant")
    for name in ("flood", "of it done/s", "calls", "p50 ms", "p99 ms", "times", "failed"):
        table.add_column(name, justify="right")
    alone = seen[0].p99
    for each in seen:
        table.add_row(
            each.flood, f"{each.flooded / seconds:.0f}", str(len(each.times_ms)),
            f"{each.p50:.1f}", f"{each.p99:.1f}", f"{each.p99 / alone:.2f}", str(each.failed),
        )  # fmt: skip
    Console(width=100).print(table)
    bound = _WANTED * max(each.p99 for each in seen[:2])
    return not any(each.failed for each in seen) and all(each.p99 < bound for each in seen[2:])


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        asyncio.run(flood(options.flood, options.url, options.clients))
    seen = measure(options)
    return 0 if report(seen, options.seconds * options.rounds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
