"""The backends that are attacked: how an executor on each is had, and which cases it runs."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from executor import Executor
from executor.client import RemoteExecutor
from tests.security.cases.base import OPEN, Case
from tests.security.runs import LIMITS, WORKERS, AnyExecutor
from tests.support.engines import require, why_no_engine, why_no_gvisor
from tests.support.libraries import why_no_set
from tests.support.server import EXECUTOR, running

ALL_ATTACKS = bool(os.environ.get("ALL_ATTACKS"))
"""Whether the slow backend runs all cases as well."""


_GOT_WRONG = frozenset({"stop-the-supervisor", "collected-through-a-symlink"})


def _all(case: Case) -> bool:
    return True


def _few(case: Case) -> bool:
    """What only gVisor got wrong, and one case in 24: it takes seconds for each."""
    return ALL_ATTACKS or case.name in _GOT_WRONG or zlib.crc32(case.name.encode()) % 24 == 0


def _share(case: Case) -> bool:
    """One case in eight: the walls are those of nsjail, which meets all of them."""
    return ALL_ATTACKS or zlib.crc32(case.name.encode()) % 8 == 1


@dataclass(frozen=True)
class AttackedBackend:
    """One backend."""

    open: Callable[[], AbstractAsyncContextManager[AnyExecutor]]
    why_not: Callable[[], str] = lambda: ""
    """Why it cannot be had here; empty if it can."""
    takes: Callable[[Case], bool] = _all
    """Which cases it runs."""
    cpu_s: int = 1
    """Seconds of processor time for an attack: enough for each that does not use all there is."""
    containers: bool = False
    """Whether each script has a container that nothing else was in."""

    def require(self) -> None:
        """Skip the test where the backend cannot be had; fail where it must."""
        require(self.why_not())


def _local(
    name: str, cpu_s: int = 1, libraries: str | None = None
) -> Callable[[], AbstractAsyncContextManager[AnyExecutor]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[AnyExecutor]:
        limits = LIMITS.model_copy(update={"cpu_s": cpu_s})
        async with Executor(
            name, workers=WORKERS, limits=limits, rules=OPEN, cache=False, libraries=libraries
        ) as executor:
            yield executor

    return opened


@asynccontextmanager
async def _service() -> AsyncIterator[AnyExecutor]:
    """The service over HTTP, with nsjail behind it, and with its cache."""
    options = [f"--{name.replace('_', '-')}={value:g}" for name, value in LIMITS]
    with running(f"--workers={WORKERS}", "--queue=4096", *options, program=EXECUTOR) as server:
        async with RemoteExecutor(server.url, limits=LIMITS, rules=OPEN) as executor:
            yield executor


BACKENDS = {
    "nsjail": AttackedBackend(_local("nsjail")),
    "docker": AttackedBackend(_local("docker"), why_no_engine, containers=True),
    "gvisor": AttackedBackend(
        _local("gvisor", cpu_s=5), why_no_gvisor, _few, cpu_s=5, containers=True
    ),
    "service": AttackedBackend(_service),
    "data": AttackedBackend(
        _local("nsjail", libraries="data"), partial(why_no_set, "data"), _share
    ),
}
"""By name."""
