"""The backends that the cases run on: what each needs, and how it is had."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from executor import (
    BackendSettings,
    DockerSettings,
    GvisorSettings,
    NsjailSettings,
    SandboxFusionSettings,
)
from tests.cases.conformance import Case
from tests.conformance.exceptions import EXEMPTIONS
from tests.support.engines import require, why_no_engine, why_no_gvisor
from tests.support.server import running


def _all(case: Case) -> bool:
    return True


def _some(case: Case) -> bool:
    """A fifth of the cases, half of the scripts, and all exceptions: gVisor is slow."""
    return _one_in(2 if case.category == "scripts" else 5, case, "gvisor")


def _fewer_examples(case: Case) -> bool:
    """A quarter of the examples, which are half of all cases, and all others."""
    return _one_in(4 if case.category.startswith("examples/") else 1, case, "sandboxfusion")


def _one_in(share: int, case: Case, backend: str) -> bool:
    if any(entry.covers(backend, case.name) for entry in EXEMPTIONS):
        return True
    return zlib.crc32(case.name.encode()) % share == 0


@dataclass(frozen=True)
class BackendUnderTest:
    """One backend."""

    start: Callable[[ExitStack], BackendSettings]
    """Starts what it needs; the stack ends it."""
    why_not: Callable[[], str] = lambda: ""
    """Why it cannot be had here; empty if it can."""
    takes: Callable[[Case], bool] = _all
    """Which cases it runs."""
    cpu_s: int = 1
    """Seconds of processor time for a run: enough for every case that does not use all there is."""

    def require(self) -> None:
        """Skip the test where the backend cannot be had; fail where it must."""
        require(self.why_not())


def _sandboxfusion(stack: ExitStack) -> BackendSettings:

    # A request holds many runs: what limits these must not be the server's own limits.
    server = running("--wall-s", "120", "--cpu-s", "60", "--memory-mib", "1024")
    return SandboxFusionSettings(url=stack.enter_context(server).url)


BACKENDS = {
    "nsjail": BackendUnderTest(lambda _: NsjailSettings()),
    "docker": BackendUnderTest(lambda _: DockerSettings(), why_no_engine),
    "gvisor": BackendUnderTest(lambda _: GvisorSettings(), why_no_gvisor, _some, cpu_s=5),
    "sandboxfusion": BackendUnderTest(_sandboxfusion, takes=_fewer_examples),
}
"""By name; nsjail is what the others are compared with."""
