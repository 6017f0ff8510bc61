"""Calls of one program, several to a process.

A program may be asked several things in one process: what it could keep from one call to the next
is its own, and nothing there says what is expected. Each call finds the program loaded anew. Where
the process ends early, or a result is not what is wanted, the calls are made again, each alone, so
that none has to answer for another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import batched

from executor.models import Status, Usage
from executor.pool.engine import CallOutcome, Run
from executor.verification.budget import RowEngine, gather_few
from executor.verification.prepare import Program
from executor.verification.scoring import Tested
from executor.wire.frames import Call

TOGETHER = 20
"""Calls of one process."""
_FEW = 4
"""What is made again is made so many at a time."""

type Assess = Callable[[int, CallOutcome], Awaitable[Tested]]
"""What the call of that number came to."""


class Caller:
    """Makes the calls of one answer's program."""

    def __init__(self, engine: RowEngine, program: Program) -> None:
        self._engine = engine
        self._program = program
        self.usage = Usage()

    async def assess(
        self, calls: Sequence[Call], assess: Assess, *, to_the_end: bool
    ) -> list[Tested]:
        """What each call came to; unless ``to_the_end``, none after the first failure is told."""
        found: list[Tested] = []
        for numbers in batched(range(len(calls)), TOGETHER):
            found += await self._some(calls, numbers, assess, to_the_end)
            if not to_the_end and found[-1].status is not Status.OK:
                break
        return found

    async def _some(
        self, calls: Sequence[Call], numbers: Sequence[int], assess: Assess, to_the_end: bool
    ) -> list[Tested]:
        run = await self._run([calls[number] for number in numbers])
        single = len(numbers) == 1
        if not run.whole and not single:
            return await self._each_alone(calls, numbers, assess, to_the_end)
        found = []
        share = _share(run.usage, len(numbers))
        for number, outcome in zip(numbers, run.outcomes, strict=True):
            tested = (await assess(number, outcome))._replace(usage=share)
            if tested.status is not Status.OK and not single:
                tested = await self._alone(calls, number, assess)
            found.append(tested)
            if tested.status is not Status.OK and not to_the_end:
                break
        return found

    async def _each_alone(
        self, calls: Sequence[Call], numbers: Sequence[int], assess: Assess, to_the_end: bool
    ) -> list[Tested]:
        found: list[Tested] = []
        for some in batched(numbers, _FEW):
            for tested in await gather_few(
                partial(self._alone, calls, number, assess) for number in some
            ):
                found.append(tested)
                if tested.status is not Status.OK and not to_the_end:
                    return found
        return found

    async def _alone(self, calls: Sequence[Call], number: int, assess: Assess) -> Tested:
        run = await self._run([calls[number]])
        return (await assess(number, run.outcomes[0]))._replace(usage=run.usage)

    async def _run(self, calls: Sequence[Call]) -> Run:
        run = await self._engine.run(
            self._program.code, calls, variant=None, imports=self._program.imports
        )
        self.usage += run.usage
        return run


def _share(usage: Usage, of: int) -> Usage:
    """What one call of several in a process has used, about."""
    wall_ms, cpu_ms = round(usage.wall_ms / of, 3), round(usage.cpu_ms / of, 3)
    return Usage(wall_ms=wall_ms, cpu_ms=cpu_ms, peak_memory_kib=usage.peak_memory_kib)
