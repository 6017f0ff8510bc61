"""Scripts in warm jails and in new ones, without a pool around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator

import pytest

from executor.backends.nsjail.backend import NsjailBackend
from executor.backends.nsjail.warm_jails import WarmJail
from executor.errors import BackendUnavailable
from executor.interpreter import INTERPRETER
from executor.models import Limits, Script, ScriptResult
from executor.wire.scripts import script_result

CEILING = Limits(
    wall_s=120, cpu_s=20, memory_mib=1024, output_kib=8192, processes=64, files_mib=64
)  # fmt: skip
"""What the warm jails are made for; requests ask for less."""

Way = Callable[[Script, Limits], Coroutine[None, None, ScriptResult]]


class Jails:
    """A backend with an event loop that runs only while it is asked something."""

    def __init__(self, limits: Limits = CEILING, *, grouped: bool = True) -> None:
        self.backend = NsjailBackend(limits)
        self.loop = asyncio.Runner()
        self.loop.run(self.backend.open())
        if not grouped and self.backend._cgroups is not None:
            self.backend._cgroups.close()
            self.backend._cgroups = None

    def warm(self, script: Script, limits: Limits) -> ScriptResult:
        """Run it in a warm jail; that this is not possible fails the test."""
        return self.loop.run(self._warm(script, limits))

    async def _warm(self, script: Script, limits: Limits) -> ScriptResult:
        answer = await self.backend._jails.run(script, limits)
        assert answer is not None, "a warm jail could not run it"
        reply, refused = answer
        return script_result(
            reply,
            limits,
            process_limit_hits=refused,
            backend=self.backend.name,
            interpreter=INTERPRETER,
        )

    def new(self, script: Script, limits: Limits) -> ScriptResult:
        """Run it in a new jail."""
        return self.loop.run(self.backend.run_in_new_jail(script, limits))

    def run(self, script: Script, limits: Limits) -> ScriptResult:
        """Run it as callers of the backend do."""
        return self.loop.run(self.backend.run_script(script, limits))

    def warm_and_new(self, script: Script, limits: Limits) -> tuple[ScriptResult, ScriptResult]:
        """Run it in a warm jail, and at the same time in a new one."""
        return self.loop.run(self._beside_new(self._warm, script, limits))

    def usual_and_new(self, script: Script, limits: Limits) -> tuple[ScriptResult, ScriptResult]:
        """Run it as callers of the backend do, and at the same time in a new jail."""
        return self.loop.run(self._beside_new(self.backend.run_script, script, limits))

    async def _beside_new(
        self, way: Way, script: Script, limits: Limits
    ) -> tuple[ScriptResult, ScriptResult]:
        new = self.backend.run_in_new_jail(script, limits)
        return await asyncio.gather(way(script, limits), new)

    @property
    def idle(self) -> list[WarmJail]:
        return self.backend._jails._idle

    def close(self) -> None:
        self.loop.run(self.backend.close())
        self.loop.close()


def open_jails(*, grouped: bool) -> Iterator[Jails]:
    """A fixture's body. Skips where there are no jails; where there are, warm ones must work."""
    try:
        jails = Jails(grouped=grouped)
    except BackendUnavailable as error:
        pytest.skip(str(error))
    if grouped and jails.backend._cgroups is None:
        jails.close()
        pytest.skip("no control groups (test_cgroups.py says why)")
    yield jails
    jails.close()
