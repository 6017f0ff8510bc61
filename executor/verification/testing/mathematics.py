"""``math``: an answer is right if it has the meaning of what is expected.

The comparison needs a parser of LaTeX and symbolic mathematics, which answers can stall and which
nobody proved safe. So it is made in a sandbox, by a program of ours with the library set ``math``:
each answer in a process of its own, under the limits of a run. An answer that the comparison
cannot be finished for is wrong.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from executor.models import JudgeTask, Status, Usage
from executor.pool.engine import CallOutcome
from executor.verification.budget import RowEngine, gather_few
from executor.verification.prepare import Program, read_program
from executor.verification.runs import run_one
from executor.verification.scoring import Broken, Scored, failed, malformed, shortened
from executor.verification.values import Value, value_of
from executor.wire.frames import Call, How, Parsed, named

SOURCE = Path(__file__).with_name("math_check.py").read_text(encoding="utf-8")
"""The program that compares. It is never imported here."""
_AT_ONCE = 16
_NEEDS = "mathematical answers need the library set math: --libraries math (docs/libraries.md)"


class Mathematics:
    """Scores answers by what they mean."""

    def __init__(self, engine: RowEngine, task: JudgeTask, parsed: Parsed) -> None:
        """Raises :class:`Broken`."""
        if not task.expected:
            raise malformed("expected has no text")
        program = read_program(parsed)
        if isinstance(program, CallOutcome):
            raise Broken(program)
        self._engine = engine
        self._task = task
        self._program: Program = program

    async def prove(self) -> Usage:
        """What is expected must be right itself. Raises :class:`Broken`."""
        scored, usage = await self._one(", ".join(self._task.expected))
        if scored.status is Status.ERROR and "ModuleNotFoundError" in scored.detail:
            raise Broken(CallOutcome(Status.INFRA, detail=_NEEDS))
        if scored.status is Status.INFRA:
            raise Broken(CallOutcome(scored.status, detail=scored.detail))
        if scored.score != 1.0:
            raise malformed(f"expected cannot be read: {scored.detail}")
        return usage

    async def score(self, answers: Sequence[str]) -> tuple[list[Scored], Usage]:
        """The scores of some answers."""
        results = await gather_few([partial(self._one, one) for one in answers], _AT_ONCE)
        return [scored for scored, _ in results], sum((used for _, used in results), Usage())

    async def _one(self, answer: str) -> tuple[Scored, Usage]:
        tolerance = self._task.compare.atol or None
        arguments = (self._task.expected, answer, tolerance)
        call = named("check", Call(How.VALUES, marshal.dumps((arguments, {}), 2)))
        run = await run_one(self._engine.fresh(), self._program, call)
        return _scored(run.outcome), run.used.usage()


def _scored(outcome: CallOutcome) -> Scored:
    value = value_of(outcome)
    if not isinstance(value, Value):
        return failed(value)
    match value.decoded:
        case (bool() as right, str() as text):
            if right:
                return Scored(1.0, Status.OK, "the answer is right")
            return Scored(0.0, Status.MISMATCH, f"got {shortened(text)}")
    return failed(CallOutcome(Status.CRASHED, detail="the comparison gave no verdict"))
