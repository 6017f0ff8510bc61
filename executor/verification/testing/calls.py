"""Calls of one program, each in a process of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import batched

from executor.models import Status
from executor.pool.engine import NOTHING_USED, CallOutcome, total
from executor.verification.budget import AT_ONCE, RowEngine
from executor.verification.prepare import Program
from executor.verification.scoring import Tested
from executor.wire.frames import Call

type Assess = Callable[[int, CallOutcome], Awaitable[Tested]]
"""The result of the call with that number."""


class Caller:
    """Makes the calls of one answer's program."""

    def __init__(self, engine: RowEngine, program: Program) -> None:
        self._engine = engine
        self._program = program
        self.used = NOTHING_USED

    async def assess(
        self, calls: Sequence[Call], assess: Assess, *, to_the_end: bool
    ) -> list[Tested]:
        """The result of each call; unless ``to_the_end``, only up to the first failure."""
        found: list[Tested] = []
        for numbers in batched(range(len(calls)), AT_ONCE):
            job = self._program.job([calls[number] for number in numbers])
            (runs,) = await self._engine.run([job])
            self.used += total(runs)
            for number, run in zip(numbers, runs, strict=True):
                tested = await assess(number, run.outcome)
                found.append(tested._replace(usage=run.used.usage()))
                if tested.status is not Status.OK and not to_the_end:
                    return found
        return found
