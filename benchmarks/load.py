"""Load: 64 clients at once for two minutes, a tenth of their requests bombs, on a real server.

    python -m benchmarks.load [--seconds 120] [--clients 64] [--seed 0]

Every answer is checked: sound triplets, right and wrong answers, scripts with and without files,
and bombs, each of which must end with its own status. Exits with 1 if there is a status code other
than 200, a wrong answer, or growth of the server's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp
from rich.console import Console

from benchmarks.bombs import BOMBS
from benchmarks.serving import Server, serving

BOMB_SHARE = 0.1
MAX_GROWTH_MIB = 24
"""Between the second quarter of the time and the last one."""
_BOMB_LIMITS = {"cpu_s": 1, "wall_s": 2, "memory_mib": 128}
_RULES: dict[str, list[str]] = {"banned_modules": []}


class Request(NamedTuple):
    """A request, and what its answer must be."""

    kind: str
    path: str
    body: dict[str, Any]
    is_right: Callable[[dict[str, Any]], bool]


# ---- requests ------------------------------------------------------------------------------------


def triplet(number: int) -> Request:
    program = f"def f(x):\n    return [i + {number} for i in range(x)]"
    body = {"program": program, "inputs": ["3"], "outputs": [f"{[number + i for i in range(3)]}"]}
    return Request(
        "triplet", "/v1/validate", body,
        lambda verdict: verdict["status"] == "ok" and verdict["matches"] is True,
    )  # fmt: skip


def unsound_triplet(number: int) -> Request:
    program = f"def f(x):\n    return list(set('abcdefgh{number}'))"
    return Request(
        "unsound triplet", "/v1/validate", {"program": program, "inputs": ["1"]},
        lambda verdict: verdict["status"] == "nondeterministic",
    )  # fmt: skip


def answers(number: int) -> Request:
    body = {
        "task": "abduction",
        "program": f"def f(a, b):\n    return a * b + {number}",
        "inputs": ["3, 4"],
        "outputs": [str(12 + number)],
        "answers": ["2, 6", "2, 7", "(lambda n: n)(3), 4", "1 +"],
    }
    return Request(
        "answers", "/v1/judge", body, lambda judged: judged["scores"] == [1.0, 0.0, 1.0, 0.0]
    )


def script(number: int) -> Request:
    return _code(
        "script", f"print(input(), {number})", lambda run: run["stdout"] == f"hello {number}\n",
        status="Success", stdin="hello",
    )  # fmt: skip


def script_with_files(number: int) -> Request:
    return _code(
        "script with files",
        f"open('a', 'w').write('{number}')\nprint(open('a').read())",
        lambda run: run["stdout"] == f"{number}\n",
        status="Success",
    )


def failing_script(number: int) -> Request:
    return _code(
        "failing script", f"print('before')\nraise ValueError({number})",
        lambda run: run["return_code"] == 1
        and run["stdout"] == "before\n"
        and run["stderr"].endswith(f"ValueError: {number}\n"),
    )  # fmt: skip


def _code(
    kind: str,
    code: str,
    run_is_right: Callable[[dict[str, Any]], bool],
    *,
    status: str = "Failed",
    **fields: Any,
) -> Request:
    return Request(
        kind, "/run_code", {"language": "python", "code": code, **fields},
        lambda answer: answer["status"] == status and run_is_right(answer["run_result"]),
    )  # fmt: skip


HONEST = (
    (triplet, 40), (unsound_triplet, 5), (answers, 15), (script, 25), (script_with_files, 10),
    (failing_script, 5),
)  # fmt: skip


def program_bomb(name: str, number: int) -> Request:
    """A bomb as the program of a triplet."""
    bomb = BOMBS[name]
    body = {
        "program": f"{bomb.program}\n# {number}",
        "inputs": ["10"],
        "options": {"limits": _BOMB_LIMITS, "rules": _RULES},
    }
    return Request(
        f"bomb: {name}", "/v1/validate", body, lambda verdict: verdict["status"] in bomb.statuses
    )


SCRIPT_BOMBS: dict[str, tuple[str, frozenset[str]]] = {
    "endless loop": ("while True: pass", frozenset({"cpu_limit", "wall_limit"})),
    "memory": ("a = []\nwhile True: a.append(bytes(1 << 24))", frozenset({"memory_limit"})),
    "processes": (
        "import os, time\nfor _ in range(200):\n    if not os.fork(): time.sleep(60)",
        frozenset({"process_limit"}),
    ),
    "output": ("while True: print('x' * 65536)", frozenset({"output_limit"})),
    "large file": (
        "with open('a', 'wb') as file:\n    while True: file.write(bytes(1 << 20))",
        frozenset({"error"}),
    ),
    "orphans": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        time.sleep(1000)\nos._exit(3)",
        frozenset({"error"}),
    ),
    "kill everything": (
        "import os, signal\nos.kill(-1, signal.SIGKILL)\nos.kill(1, signal.SIGKILL)\nos._exit(3)",
        frozenset({"error", "crashed", "forbidden"}),
    ),
}


def script_bomb(name: str, number: int) -> Request:
    """A bomb as a script."""
    source, statuses = SCRIPT_BOMBS[name]
    body = {"source": f"{source}\n# {number}", "limits": _BOMB_LIMITS}
    return Request(
        f"script bomb: {name}", "/v1/run", body, lambda result: result["status"] in statuses
    )


class Mix:
    """An endless source of requests, none of them like another."""

    def __init__(self, seed: int) -> None:
        self._chooser = random.Random(seed)
        self._number = 0

    def next(self) -> Request:
        self._number += 1
        if self._chooser.random() < BOMB_SHARE:
            if self._chooser.random() < 0.5:
                return program_bomb(self._chooser.choice(list(BOMBS)), self._number)
            return script_bomb(self._chooser.choice(list(SCRIPT_BOMBS)), self._number)
        makers, weights = zip(*HONEST, strict=True)
        make: Callable[[int], Request] = self._chooser.choices(makers, weights)[0]
        return make(self._number)


# ---- load ----------------------------------------------------------------------------------------


class Seen:
    """What the clients saw."""

    def __init__(self) -> None:
        self.codes: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.honest_ms: list[float] = []
        self.wrong: list[str] = []
        self.memory: list[float] = []
        """MiB of the server's process, once a second."""


async def client(session: aiohttp.ClientSession, mix: Mix, until: float, seen: Seen) -> None:
    """Send one request after another until the time is over."""
    while time.monotonic() < until:
        request = mix.next()
        start = time.perf_counter()
        try:
            async with session.post(request.path, json=request.body) as response:
                status, answer = response.status, await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            seen.wrong.append(f"{request.kind}: {type(error).__name__}: {error}")
            continue
        seen.codes[status] += 1
        seen.kinds[request.kind] += 1
        if "bomb" not in request.kind:
            seen.honest_ms.append((time.perf_counter() - start) * 1000)
        if status != 200 or not request.is_right(answer):
            seen.wrong.append(f"{request.kind}: {status}: {str(answer)[:400]}")


async def load(server: Server, options: argparse.Namespace) -> Seen:
    """All clients, until the time is over."""
    seen, mix = Seen(), Mix(options.seed)
    until = time.monotonic() + options.seconds
    connector = aiohttp.TCPConnector(limit=options.clients)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(server.url, connector=connector, timeout=timeout) as session:
        watch = asyncio.create_task(_watch(server, seen))
        await asyncio.gather(*(client(session, mix, until, seen) for _ in range(options.clients)))
        watch.cancel()
    return seen


async def _watch(server: Server, seen: Seen) -> None:
    while True:
        seen.memory.append(server.memory_mib())
        await asyncio.sleep(1)


def growth(memory: list[float]) -> float:
    """MiB between the means of the second and of the last quarter."""
    quarter = max(1, len(memory) // 4)
    return statistics.mean(memory[-quarter:]) - statistics.mean(memory[quarter : 2 * quarter])


def report(console: Console, seen: Seen, options: argparse.Namespace) -> bool:
    """Print what was seen; whether all of it is right."""
    total = sum(seen.codes.values())
    bombs = sum(count for kind, count in seen.kinds.items() if "bomb" in kind)
    console.print(
        f"{total} requests in {options.seconds:g} s from {options.clients} clients "
        f"({total / options.seconds:.0f}/s), {bombs} of them bombs"
    )
    for kind, count in sorted(seen.kinds.items()):
        console.print(f"{kind:>30}: {count}")
    if len(seen.honest_ms) > 1:
        cuts = statistics.quantiles(seen.honest_ms, n=100)
        console.print(
            f"honest requests: p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f} ms, p99 {cuts[98]:.0f} ms"
        )
    step = max(1, len(seen.memory) // 12)
    points = " ".join(f"{mib:.0f}" for mib in seen.memory[::step])
    console.print(f"server's process, MiB resident over time: {points}")
    grown = growth(seen.memory)
    server_errors = sum(count for code, count in seen.codes.items() if code >= 500)
    console.print(
        f"grown by {grown:.1f} MiB after warming up; status codes {dict(seen.codes)}, "
        f"5xx: {server_errors}; wrong or lost: {len(seen.wrong)}"
    )
    for line in seen.wrong[:20]:
        console.print(f"  {line}", markup=False)
    return total > 0 and not server_errors and not seen.wrong and grown <= MAX_GROWTH_MIB


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with serving() as server:
        seen = asyncio.run(load(server, options))
    return int(not report(Console(highlight=False, width=140), seen, options))


if __name__ == "__main__":
    sys.exit(main())
