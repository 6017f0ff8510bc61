"""Proof that limits hold: programs and scripts that break one each, and what must come of it.

They are run on the real backend. A sandbox that lets one of them through is not to be used.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from executor.api import Executor
from executor.models import Limits, Options, Rules, Script, Status, Triplet

_OPEN_RULES = Rules(banned_modules=(), min_parameters=0)


class Probe(NamedTuple):
    """Something that must not succeed (or must), and how it has to end."""

    name: str
    item: Triplet | Script
    expected: frozenset[Status]
    needs_isolation: bool = False
    """Whether a backend without isolation cannot pass."""


class ProbeResult(NamedTuple):
    """What a probe found."""

    name: str
    passed: bool
    status: Status
    detail: str


def _program(name: str, body: str, *expected: Status, needs_isolation: bool = False) -> Probe:
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    return Probe(
        name,
        Triplet(program=f"def f(x):\n{lines}", inputs=("1",)),
        frozenset(expected),
        needs_isolation,
    )


_FORK_BOMB = """\
import subprocess, sys
children = [subprocess.Popen([sys.executable, '-I', '-S', '-c', 'input()'], stdin=subprocess.PIPE)
            for _ in range(64)]
"""

PROBES = (
    _program("program", "return x + 1", Status.OK),
    _program("cpu", "while True: pass", Status.CPU_LIMIT, Status.WALL_LIMIT),
    _program("wall", "import time\ntime.sleep(60)", Status.WALL_LIMIT),
    _program("memory", "return len(bytearray(1 << 40))", Status.MEMORY_LIMIT),
    _program("output", "return 'x' * (1 << 20)", Status.OUTPUT_LIMIT),
    _program("processes", "import os\nreturn os.fork()", Status.FORBIDDEN, needs_isolation=True),
    _program("files", "return open('/tmp/a', 'w').write('a')", Status.FORBIDDEN, Status.ERROR,
             needs_isolation=True),
    _program("network", "import socket\nreturn str(socket.socket())", Status.FORBIDDEN,
             needs_isolation=True),
    Probe("script", Script(source="open('a', 'w').write('a'); print(open('a').read())"),
          frozenset({Status.OK})),
    Probe("script processes", Script(source=_FORK_BOMB), frozenset({Status.PROCESS_LIMIT}),
          needs_isolation=True),
    Probe(
        "script network",
        Script(source="import socket; socket.create_connection(('1.1.1.1', 53), 1)"),
          frozenset({Status.FORBIDDEN, Status.ERROR}), needs_isolation=True),
)  # fmt: skip
"""All probes; each takes two seconds at most."""


async def probe(executor: Executor, probes: tuple[Probe, ...] = PROBES) -> tuple[ProbeResult, ...]:
    """Run the probes that the backend can be asked for; raises what the executor raises."""
    limits = _limits(executor.limits)
    chosen = [p for p in probes if executor.info.isolated or not p.needs_isolation]
    return tuple(await asyncio.gather(*(_probe(executor, p, limits) for p in chosen)))


async def _probe(executor: Executor, probe: Probe, limits: Limits) -> ProbeResult:
    outcome = (
        await executor.run(probe.item, limits=limits)
        if isinstance(probe.item, Script)
        else await executor.validate(probe.item, options=Options(limits=limits, rules=_OPEN_RULES))
    )
    return ProbeResult(probe.name, outcome.status in probe.expected, outcome.status, outcome.detail)


def _limits(ceiling: Limits) -> Limits:
    small = Limits(wall_s=2, cpu_s=1, memory_mib=128, output_kib=64, processes=16, files_mib=8)
    return Limits(**{name: min(getattr(small, name), most) for name, most in ceiling})
