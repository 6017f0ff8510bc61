"""``call``: a program is right if its calls return what they should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from keyword import iskeyword

from executor.grammar.closeness import Tolerance, close
from executor.grammar.compare import TooCostly, equal
from executor.grammar.text import literal_text
from executor.models import JudgeTask, Signal, Status, Usage
from executor.pool.engine import NO_SIGNALS, CallOutcome
from executor.verification.budget import TOO_COSTLY, RowEngine, gather_few, off_loop
from executor.verification.prepare import Program, read_program
from executor.verification.scoring import (
    Broken,
    Scored,
    Tested,
    failed,
    goes_on,
    malformed,
    shortened,
    summed_up,
)
from executor.verification.signals import signals_of
from executor.verification.testing.calls import Caller
from executor.verification.values import Value, value_of
from executor.wire.frames import Call, Parsed, named

_ANSWERS_AT_ONCE = 4


@dataclass(frozen=True)
class Calls:
    """The calls of a task, and what they should return."""

    calls: Sequence[Call]
    expected: Sequence[Value]


def entry_point(task: JudgeTask) -> str:
    """What a task calls; ``Class().method``, as some write it, is ``Class.method``.

    Raises :class:`Broken`.
    """
    name = task.entry_point
    if not name:
        raise malformed("the task has no entry_point")
    parts = name.replace("().", ".").split(".")
    if not all(part.isidentifier() and not iskeyword(part) for part in parts):
        raise malformed(f"entry_point must be a name or Class.method, not {name[:60]!r}")
    return ".".join(parts)


def tolerance_of(task: JudgeTask) -> Tolerance:
    """The tolerance that a task allows."""
    compare = task.compare
    return Tolerance(
        atol=compare.atol,
        rtol=compare.rtol,
        unordered=compare.unordered,
        float_text=compare.float_text,
        as_json=compare.as_json,
        strict=task.strict,
    )


async def values_of(
    engine: RowEngine, program: Program, task: JudgeTask, calls: Sequence[Call]
) -> tuple[list[Value], Usage]:
    """What a program returns for calls of ``f``, made of the task's entry point instead.

    Raises :class:`Broken`: it does not return a value each time.
    """
    name = entry_point(task)
    caller = Caller(engine, program)
    values: dict[int, Value] = {}

    async def assess(number: int, outcome: CallOutcome) -> Tested:
        value = await off_loop(outcome.size, value_of, outcome)
        if isinstance(value, CallOutcome):
            return Tested(value.status, value.detail)
        values[number] = value
        return Tested(Status.OK)

    targets = [named(name, call, mutates=task.mutates) for call in calls]
    for tested in await caller.assess(targets, assess, to_the_end=False):
        if tested.status is not Status.OK:
            detail = f"the task's program: {tested.detail}"
            raise Broken(CallOutcome(tested.status, detail=detail))
    return [values[number] for number in range(len(calls))], caller.used.usage()


class Returns:
    """Scores answers by the calls of one task."""

    def __init__(self, engine: RowEngine, task: JudgeTask, pairs: Calls) -> None:
        """``pairs`` calls ``f``. Raises :class:`Broken`."""
        name = entry_point(task)
        self._engine = engine
        self._task = task
        self._tolerance = tolerance_of(task)
        self._expected = pairs.expected
        self._calls = [named(name, call, mutates=task.mutates) for call in pairs.calls]
        computed = not task.outputs
        if task.mutates and not computed and not all(map(_is_pair, pairs.expected)):
            raise malformed("with mutates each output is (what is returned, the arguments)")

    async def score(self, parsed: Sequence[Parsed]) -> tuple[list[Scored], Usage]:
        """The scores of some answers, as the parser has them."""
        results = await gather_few(
            [partial(self._one, answer) for answer in parsed], at_once=_ANSWERS_AT_ONCE
        )
        return [scored for scored, _ in results], sum((used for _, used in results), Usage())

    async def _one(self, answer: Parsed) -> tuple[Scored, Usage]:
        program = read_program(answer)
        total = len(self._calls)
        if isinstance(program, CallOutcome):
            return failed(program)._replace(total=total), Usage()
        caller = Caller(self._engine.fresh(), program)
        signals: set[Signal] = set()

        async def assess(number: int, outcome: CallOutcome) -> Tested:
            value = await off_loop(outcome.size, value_of, outcome)
            signals.update(signals_of(outcome, value))
            return await self._tested(value, self._expected[number])

        tested = await caller.assess(self._calls, assess, to_the_end=goes_on(self._task))
        scored = summed_up(self._task, tested, total, frozenset(signals) or NO_SIGNALS, "calls")
        return scored, caller.used.usage()

    async def _tested(self, value: Value | CallOutcome, expected: Value) -> Tested:
        if isinstance(value, CallOutcome):
            return Tested(value.status, value.detail)
        if value.data == expected.data:
            return Tested(Status.OK)
        size = len(value.data) + len(expected.data)
        return await off_loop(size, self._compared, value, expected)

    def _compared(self, value: Value, expected: Value) -> Tested:
        actual, wanted = value.decoded, expected.decoded
        if self._task.mutates and type(wanted) is tuple:
            wanted = wanted[:2]
        if self._task.mutates and type(actual) is tuple and len(actual) == 3:
            actual = actual[:2]  # what was given by name is given back by name, and not expected
        try:
            right = equal(actual, wanted, self._tolerance.strict)
            right = right or close(actual, wanted, self._tolerance)
        except TooCostly:
            return Tested(TOO_COSTLY.status, TOO_COSTLY.detail)
        if right:
            return Tested(Status.OK)
        return Tested(Status.MISMATCH, f"got {shortened(literal_text(actual))}")


def _is_pair(value: Value) -> bool:
    decoded = value.decoded
    return type(decoded) is tuple and len(decoded) == 2 and type(decoded[1]) is tuple
