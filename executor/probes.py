"""Proof that limits hold: programs and scripts that break one each, and how they have to end.

They run on the real backend. A sandbox that lets one of them through is not to be used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from executor.api import Executor
from executor.models import Limits, Options, Rules, Script, Status, Triplet

_RULES = Rules(banned_modules=(), min_parameters=0)
_LIMITS = Limits(wall_s=20, cpu_s=1, memory_mib=128, output_kib=64, processes=16, files_mib=8)
_AT_A_TIME = 2
"""Few: they are to hit their own limit, not that of the machine."""


class Probe(NamedTuple):
    """Something that must not succeed (or must), and how it may end."""

    name: str
    item: Triplet | Script
    expected: frozenset[Status]
    isolation: bool = False
    """Whether it proves isolation: nothing to ask of a backend that has none."""
    wall_s: float = _LIMITS.wall_s


class ProbeResult(NamedTuple):
    """What a probe found."""

    name: str
    passed: bool
    status: Status
    detail: str


def _program(name: str, body: str, *expected: Status, isolation: bool = False) -> Probe:
    source = "def f(x):\n" + "".join(f"    {line}\n" for line in body.split("; "))
    return Probe(name, Triplet(program=source, inputs=("1",)), frozenset(expected), isolation)


def _script(name: str, source: str, *expected: Status, isolation: bool = False) -> Probe:
    return Probe(name, Script(source=source), frozenset(expected), isolation)


_FORKS = """\
import os, time
for _ in range(64):
    if os.fork() == 0:
        time.sleep(60)
"""

PROBES = (
    _program("program", "return x + 1", Status.OK),
    _program("cpu", "while True: pass", Status.CPU_LIMIT),
    _program("wall", "import time; time.sleep(60)", Status.WALL_LIMIT)._replace(wall_s=0.5),
    _program("memory", "return len(bytearray(1 << 40))", Status.MEMORY_LIMIT),
    _program("output", "return 'x' * (1 << 20)", Status.OUTPUT_LIMIT),
    _program("processes", "import os; return os.fork()", Status.FORBIDDEN, isolation=True),
    _program(
        "files",
        "return open('/tmp/a', 'w').write('a')",
        Status.FORBIDDEN,
        Status.ERROR,
        isolation=True,
    ),
    _program(
        "network", "import socket; return str(socket.socket())", Status.FORBIDDEN, isolation=True
    ),
    _script("script", "open('a', 'w').write('a'); print(open('a').read())", Status.OK),
    _script("script processes", _FORKS, Status.PROCESS_LIMIT, isolation=True),
    _script(
        "script network",
        "import socket; socket.create_connection(('192.0.2.1', 53), 1)",
        Status.FORBIDDEN,
        Status.ERROR,
        isolation=True,
    ),
)
"""All probes; each takes about a second at most."""


async def probe(executor: Executor, probes: Sequence[Probe] = PROBES) -> tuple[ProbeResult, ...]:
    """Run the probes that the backend can be asked for; raises what the executor raises."""
    places = asyncio.Semaphore(_AT_A_TIME)
    chosen = [p for p in probes if executor.info.isolated or not p.isolation]
    return tuple(await asyncio.gather(*(_run(executor, p, places) for p in chosen)))


async def _run(executor: Executor, probe: Probe, places: asyncio.Semaphore) -> ProbeResult:
    limits = _at_most(executor.limits, _LIMITS.model_copy(update={"wall_s": probe.wall_s}))
    options = Options(limits=limits, rules=_RULES)
    async with places:
        if isinstance(probe.item, Script):
            result = await executor.run(probe.item, limits=limits)
            return _judged(probe, result.status, result.detail)
        verdict = await executor.validate(probe.item, options=options)
        return _judged(probe, verdict.status, verdict.detail)


def _judged(probe: Probe, status: Status, detail: str) -> ProbeResult:
    return ProbeResult(probe.name, status in probe.expected, status, detail)


def _at_most(ceiling: Limits, wanted: Limits) -> Limits:
    return Limits(**{name: min(getattr(wanted, name), most) for name, most in ceiling})
