"""The backends that the cases run on: what each needs, and how it is had."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from conformance_cases import Case
from conformance_exceptions import EXEMPTIONS
from engine_support import require, why_no_engine, why_no_gvisor

from executor import (
    BackendSettings,
    DockerSettings,
    GvisorSettings,
    NsjailSettings,
    SandboxFusionSettings,
)


def _all(case: Case) -> bool:
    return True


def _some(case: Case) -> bool:
    """A fifth of the cases, half of the scripts, and all exceptions: gVisor is slow."""
    if any(entry.covers("gvisor", case.name) for entry in EXEMPTIONS):
        return True
    return zlib.crc32(case.name.encode()) % (2 if case.category == "scripts" else 5) == 0


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
    sys.path.append(str(Path(__file__).parents[1] / "service"))
    from service_server import running

    return SandboxFusionSettings(url=stack.enter_context(running()).url)


BACKENDS = {
    "nsjail": BackendUnderTest(lambda _: NsjailSettings()),
    "docker": BackendUnderTest(lambda _: DockerSettings(), why_no_engine),
    "gvisor": BackendUnderTest(lambda _: GvisorSettings(), why_no_gvisor, _some, cpu_s=5),
}
if find_spec("executor.backends.sandboxfusion"):
    BACKENDS["sandboxfusion"] = BackendUnderTest(_sandboxfusion)
"""By name; nsjail is what the others are compared with."""
