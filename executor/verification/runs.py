"""Independent runs of a program: which processes are used, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from executor.grammar.compare import NO_DIFFERENCE, TOO_LONG
from executor.models import Signal, Status, Usage
from executor.pool.engine import NO_SIGNALS, CallOutcome, Run
from executor.verification.budget import TOO_COSTLY, RowEngine, gather_few, off_loop
from executor.verification.prepare import Program
from executor.verification.signals import signals_of
from executor.verification.values import Value, value_of
from executor.wire.frames import Call, Order, Source

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


async def run_calls(
    engine: RowEngine,
    program: Program,
    calls: Sequence[Call],
    *,
    variant: int | None,
    order: Order = Order.NATURAL,
) -> Run:
    """Run each call in a process of its own."""

    async def alone(call: Call) -> Run:
        return await engine.run(
            program.code,
            [call],
            variant=variant,
            imports=program.imports,
            order=order,
        )

    if len(calls) == 1:
        return await alone(calls[0])
    return _joined(await gather_few(partial(alone, call) for call in calls))


def _joined(runs: Sequence[Run]) -> Run:
    """Runs of different calls as one."""
    sources = Source(0)
    for run in runs:
        sources |= run.sources
    usage = sum((run.usage for run in runs), Usage())
    return Run(tuple(outcome for run in runs for outcome in run.outcomes), usage, sources)


def agree(outcomes: Sequence[CallOutcome]) -> CallOutcome | Value:
    """What several independent runs of one call say together.

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


class Evaluated(NamedTuple):
    """An expression's value, or why there is none."""

    value: Value | CallOutcome
    usage: Usage = Usage()
    signals: frozenset[Signal] = NO_SIGNALS


async def evaluate_alone(
    engine: RowEngine, imports: Program, expression: Call, *, variant: int | None = None
) -> Evaluated:
    """Evaluate an expression in a process that holds nothing but the imports of its task."""
    run = await engine.run(imports.code, [expression], variant=variant, imports=True)
    outcome = run.outcomes[0]
    value = await off_loop(outcome.size, value_of, outcome)
    return Evaluated(value, run.usage, signals_of(outcome, value))
