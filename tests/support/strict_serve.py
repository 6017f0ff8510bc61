"""``executor``, held to a promise that nsjail does not make: a kernel of its own.

So one probe fails for real, ``script-own-kernel``. With ``$SLOW_GATE`` it is one of the slow ones,
and these are tried once the file of that name exists.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from executor import doctor as probes
from executor.api.protocol import ExecutorProtocol
from executor.cli.app import main
from executor.doctor import Probe, ProbeResult, promises, prove

WEAK = "script-own-kernel"
GATE = "SLOW_GATE"
STRICT = ("-m", "tests.support.strict_serve")
"""The program, for :class:`tests.support.server.Server`."""


def hold_to_more() -> None:
    """Change this process: the exemption is gone."""
    promises.EXEMPTIONS = tuple(e for e in promises.EXEMPTIONS if WEAK not in e.probes)
    probes.PROBES = tuple(
        replace(probe, slow=GATE in os.environ) if probe.name == WEAK else probe
        for probe in probes.PROBES
    )
    from executor.service.work import readiness

    vars(readiness).update(prove=prove_later)


async def prove_later(
    executor: ExecutorProtocol, wanted: Sequence[Probe]
) -> tuple[ProbeResult, ...]:
    gate = os.environ.get(GATE)
    while gate and wanted[0].slow and not os.path.exists(gate):  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.05)
    return await prove(executor, wanted)


if __name__ == "__main__":
    hold_to_more()
    sys.exit(main())
