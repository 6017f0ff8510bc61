"""Single runs, and what several independent runs of a program say together."""

from __future__ import annotations

from collections.abc import Sequence

from executor.grammar.compare import NO_DIFFERENCE, TOO_LONG
from executor.models import Status
from executor.pool.engine import CallOutcome, Run
from executor.verification.budget import TOO_COSTLY, RowEngine
from executor.verification.prepare import Program
from executor.verification.values import Value, value_of
from executor.wire.frames import Call

_LIMITS = frozenset(
    {
        Status.CPU_LIMIT,
        Status.WALL_LIMIT,
        Status.MEMORY_LIMIT,
        Status.OUTPUT_LIMIT,
        Status.PROCESS_LIMIT,
        Status.ROW_LIMIT,
    }
)


def agree(outcomes: Sequence[CallOutcome]) -> CallOutcome | Value:
    """Combine what several independent runs of one call say.

    The value if all returned equal ones; else the outcome they share; ``nondeterministic`` if they
    differ. A limit or a platform fault in one run decides over the others.
    """
    for status in (Status.INFRA, *sorted(_LIMITS)):
        for outcome in outcomes:
            if outcome.status is status:
                return outcome
    first = outcomes[0]
    if any(other.status is not first.status for other in outcomes):
        seen = " or ".join(sorted({_short(outcome) for outcome in outcomes}))
        return _differs(f"independent runs ended differently: {seen}")
    if first.status is Status.ERROR:
        types = {outcome.error_type for outcome in outcomes}
        if len(types) > 1:
            return _differs(f"independent runs raised {' or '.join(sorted(types))}")
    if first.status is not Status.OK:
        return first
    return _agree_on_value(outcomes)


def _agree_on_value(outcomes: Sequence[CallOutcome]) -> CallOutcome | Value:
    first = value_of(outcomes[0], keep=any(o.value != outcomes[0].value for o in outcomes))
    if not isinstance(first, Value):
        return first
    for outcome in outcomes[1:]:
        if outcome.value == first.data:
            continue
        other = value_of(outcome, keep=True)
        problem = _disagreement(first, other) if isinstance(other, Value) else other
        if problem is not None:
            return problem
    first.release()
    return first


def _disagreement(first: Value, other: Value) -> CallOutcome | None:
    difference = first.difference(other, strict=True)
    if difference == TOO_LONG:
        return TOO_COSTLY
    if difference != NO_DIFFERENCE:
        return _differs(f"independent runs returned different values: {difference}")
    if first.text == other.text:  # sets are sorted in it; the order of a dict's keys counts
        return None
    return _differs("independent runs returned a dict with its keys in different order")


def _short(outcome: CallOutcome) -> str:
    return outcome.error_type if outcome.status is Status.ERROR else outcome.status.value


def _differs(detail: str) -> CallOutcome:
    return CallOutcome(Status.NONDETERMINISTIC, detail=detail)


async def run_one(engine: RowEngine, program: Program, call: Call) -> Run:
    """Make one call, in a process of any variant."""
    ((run,),) = await engine.run([program.job([call])])
    return run


async def evaluate(engine: RowEngine, imports: Program, expression: Call) -> Run:
    """Evaluate an expression in a process that holds nothing but the imports of its task."""
    return await run_one(engine, imports._replace(imports=True), expression)
