"""Validating triplets: is this program with this input a sound task?

Sound means: it passes screening, runs without error in every one of at least two fresh processes
that differ in hash seed, address space, process id, clock and environment, returns a value of the
closed grammar, equal each time, and equal to the given output when there is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import reduce
from itertools import chain
from operator import or_

from executor.grammar.compare import TooCostly
from executor.models import Status, Triplet, Verdict
from executor.pool.engine import (
    NOTHING_USED,
    CallOutcome,
    Engine,
    Job,
    Run,
    total,
)
from executor.verification.budget import RowEngine, TextBudget, off_loop, too_many
from executor.verification.computed import Computed, ResultCache
from executor.verification.context import Context
from executor.verification.error_names import MAX_NAME, NO_ERROR, error_name, is_answerable
from executor.verification.prepare import (
    Arguments,
    Program,
    argument_items,
    program_item,
    read_arguments,
    read_program,
    read_value,
    value_items,
)
from executor.verification.runs import agree, evaluate
from executor.verification.signals import count_signals, signals_of
from executor.verification.source import with_imports
from executor.verification.stored import StoredResults
from executor.verification.values import Value, decoded, value_of
from executor.wire.frames import Call, Order, Source

_RUNS_FOR_ENTROPY = 14
_RUNS_SHUFFLED = 6
_BREATH = 64
"""Inputs after which others get their turn on the event loop."""


class Validator:
    """Validates triplets on an engine."""

    def __init__(
        self,
        engine: Engine,
        context: Context,
        *,
        runs: int,
        cache: ResultCache | None,
        stored: StoredResults | None = None,
    ) -> None:
        """``stored``: asked for what the cache does not know."""
        self._engine = engine
        self.context = context
        self._runs = runs
        self._cache = cache
        self._stored = stored

    def key(self, triplet: Triplet) -> str:
        """Content hash of what is run for a triplet."""
        return self.context.key(
            triplet.program, triplet.imports, triplet.inputs, triplet.expects, self._runs
        )

    async def validate(self, triplet: Triplet, index: int) -> Verdict:
        """Decide whether a triplet is a sound task; ``index`` is its place in a batch."""
        key = self.key(triplet)
        refused = too_many(
            self.context.limits, triplet.inputs, triplet.imports, triplet.outputs or ()
        )
        if refused is not None:
            computed = Computed((refused,), NOTHING_USED)
            return self._verdict(triplet, index, key, computed, ((), (None, "")))
        given = _given_texts(triplet)
        computed, outputs = await self._remembered(key, triplet, given)
        computed, texts = await self._with_texts(computed)
        engine = RowEngine(self._engine, self.context.limits)
        if outputs is None:
            outputs = [read_value(answer) for answer in await engine.parse(value_items(given))]
        matched = await self._match(engine, triplet, computed, outputs)
        return self._verdict(triplet, index, key, computed, (texts, matched))

    async def _with_texts(self, computed: Computed) -> tuple[Computed, tuple[str | None, ...]]:
        """The results, and their texts as far as there is room for them."""
        budget = TextBudget(self.context.limits)
        results: list[Value | str | CallOutcome] = []
        texts: list[str | None] = []
        for number, result in enumerate(computed.results, 1):
            if number % _BREATH == 0:
                await asyncio.sleep(0)
            text = result if isinstance(result, str) else None
            if isinstance(result, Value):
                text = await off_loop(len(result.data), _text, result)
            problem = budget.take(text) if text is not None else None
            results.append(problem or result)
            texts.append(None if problem else text)
        return computed._replace(results=tuple(results)), tuple(texts)

    async def compute(self, triplet: Triplet) -> Computed:
        """The program's result for each input, whatever outputs were stated."""
        computed, _ = await self._remembered(self.key(triplet), triplet, [])
        return computed

    async def _remembered(
        self, key: str, triplet: Triplet, given: Sequence[str]
    ) -> tuple[Computed, list[object] | None]:
        """The known result, and ``None``; else :meth:`_compute`, remembered."""
        known = self._cache.get(key) if self._cache is not None else None
        if known is not None:
            return known, None
        outputs: list[object] | None = None
        computed = await self._stored.get(key) if self._stored is not None else None
        if computed is None:
            computed, outputs = await self._compute(triplet, given)
            if self._stored is not None:
                self._stored.put(key, triplet, computed)
        if self._cache is not None:
            self._cache.put(key, computed)
        return computed, outputs

    async def _compute(
        self, triplet: Triplet, given: Sequence[str]
    ) -> tuple[Computed, list[object]]:
        source = with_imports(triplet.program, triplet.imports)
        engine = RowEngine(self._engine, self.context.limits)
        parsed = await engine.parse(
            [
                program_item(source, self.context.rules),
                *argument_items(triplet.inputs),
                *value_items(given),
            ]
        )
        program = read_program(parsed[0])
        count = len(triplet.inputs)
        outputs: list[object] = [read_value(answer) for answer in parsed[1 + count :]]
        if isinstance(program, CallOutcome):
            return Computed((program,) * count, NOTHING_USED), outputs
        arguments = [read_arguments(answer) for answer in parsed[1 : 1 + count]]
        return await self._run(engine, triplet, program, arguments), outputs

    async def _run(
        self,
        engine: RowEngine,
        triplet: Triplet,
        program: Program,
        arguments: Sequence[Arguments | CallOutcome],
    ) -> Computed:
        calls = [entry.call for entry in arguments if isinstance(entry, Arguments)]
        runs = await self._independent_runs(engine, program, calls) if calls else []
        by_call = zip(*runs, strict=True)
        results: list[Value | str | CallOutcome] = []
        signals = []
        for number, entry in enumerate(arguments, 1):
            if number % _BREATH == 0:
                await asyncio.sleep(0)
            outcomes: list[CallOutcome] = []
            result: Value | str | CallOutcome
            if isinstance(entry, Arguments):
                outcomes = [run.outcome for run in next(by_call)]
                size = sum([outcome.size for outcome in outcomes])
                result = await off_loop(size, self._result, triplet, outcomes)
            else:
                result = entry
            results.append(result)
            signals.append(signals_of(*outcomes, result))
        used = total(chain.from_iterable(runs))
        return Computed(tuple(results), used, len(runs), tuple(signals))

    async def _independent_runs(
        self, engine: RowEngine, program: Program, calls: Sequence[Call]
    ) -> list[list[Run]]:
        """Runs of all calls that differ in all that a program should not depend on.

        Where two runs can agree by chance, there are more. One that used something that differs
        between processes is shown it in two other ways, made so that no order of two elements, bit
        or remainder is the same in all runs; and, unless that was the order of a set, also at
        random, for programs that were made to agree in these. One that asked for randomness, or
        seeded a generator with a hash, runs more often.
        """

        def job(number: int, order: Order = Order.NATURAL) -> Job:
            return program.job(calls, variant=number & 1, order=order)

        runs = await engine.run([*map(job, range(self._runs))])
        sources = reduce(or_, (run.sources for done in runs for run in done if run.sources), 0)
        if not sources:
            return runs
        more = []
        if sources & (Source.HASH_ORDER | Source.IDENTITY | Source.CLOCK):
            more += [job(0, Order.ROTATED), job(1, Order.REVERSED)]
        if sources & (Source.IDENTITY | Source.CLOCK):
            more += [job(number, Order.SHUFFLED) for number in range(_RUNS_SHUFFLED)]
        if sources & Source.ENTROPY:
            order = Order.SHUFFLED if sources & Source.IDENTITY else Order.NATURAL
            more += [job(number, order) for number in range(_RUNS_FOR_ENTROPY - len(more))]
        return [*runs, *await engine.run(more)]

    def _result(
        self, triplet: Triplet, outcomes: Sequence[CallOutcome]
    ) -> Value | str | CallOutcome:
        if triplet.expects == "value":
            return agree(outcomes)
        return _error_name(agree([_without_value(outcome) for outcome in outcomes]))

    def _verdict(
        self,
        triplet: Triplet,
        index: int,
        key: str,
        computed: Computed,
        told: tuple[tuple[str | None, ...], tuple[bool | None, str]],
    ) -> Verdict:
        outputs, (matches, mismatch) = told
        status, detail = _first_problem(computed.results)
        if status is Status.OK and mismatch:
            status, detail = Status.MISMATCH, mismatch
        if status is Status.OK:
            detail = _praise(triplet, computed, given=matches is not None)
        return Verdict(
            index=index,
            id=triplet.id,
            status=status,
            valid=status is Status.OK,
            outputs=outputs,
            matches=matches,
            detail=detail,
            signals=count_signals(computed.signals),
            usage=computed.used.usage(),
            key=key,
            backend=self.context.backend,
            interpreter=self.context.interpreter,
        )

    async def _match(
        self, engine: RowEngine, triplet: Triplet, computed: Computed, outputs: Sequence[object]
    ) -> tuple[bool | None, str]:
        """Whether the given outputs are equal to the computed ones; a sentence about one that is
        not."""
        if triplet.outputs is None:
            return None, ""
        compared = False
        pending = iter(outputs)
        for number, (given, result) in enumerate(
            zip(triplet.outputs, computed.results, strict=True), 1
        ):
            if given is None:
                continue
            parsed = next(pending, None) if triplet.expects == "value" else None
            if isinstance(result, CallOutcome):
                continue
            compared = True
            if number % _BREATH == 0:
                await asyncio.sleep(0)
            wrong = await self._mismatch(engine, triplet, given, parsed, result)
            if wrong:
                where = f"input {number}: " if len(computed.results) > 1 else ""
                return False, where + wrong
        return (True, "") if compared else (None, "")

    async def _mismatch(
        self, engine: RowEngine, triplet: Triplet, given: str, parsed: object, result: Value | str
    ) -> str:
        """The reason why the given output is not the computed one; empty if it is."""
        if isinstance(result, str):
            right = error_name(given) == error_name(result)
            return "" if right else f"the outcome is {result}"
        if isinstance(parsed, bytes):
            if parsed == result.data:
                return ""
            expected = await off_loop(len(parsed), decoded, parsed)
        elif isinstance(parsed, CallOutcome):
            expected = parsed
        else:
            expected = await self._evaluate(engine, triplet.imports, parsed)
        if isinstance(expected, CallOutcome):
            return f"the given output is not a plain value: {expected.detail}"
        return await off_loop(len(result.data) + len(expected.data), _compared, result, expected)

    async def _evaluate(
        self, engine: RowEngine, imports: Sequence[str], expression: object
    ) -> Value | CallOutcome:
        context = await import_context(engine, imports)
        if isinstance(context, CallOutcome):
            return context
        outcome, _, _ = await evaluate(engine, context, expression)  # type: ignore[arg-type]
        return await off_loop(outcome.size, value_of, outcome)


async def import_context(engine: RowEngine, imports: Sequence[str]) -> Program | CallOutcome:
    """A program that makes the imports of a task and no more, for expressions that stand alone."""
    parsed = await engine.parse([program_item("\n".join(imports), None)])
    return read_program(parsed[0])


def _given_texts(triplet: Triplet) -> list[str]:
    if triplet.expects == "error" or triplet.outputs is None:
        return []
    return [text for text in triplet.outputs if text is not None]


def _without_value(outcome: CallOutcome) -> CallOutcome:
    """For error tasks: that it returned is all that counts, whatever the value."""
    if outcome.status in (Status.OK, Status.UNSERIALIZABLE):
        return CallOutcome(Status.UNSERIALIZABLE)
    return outcome


def _error_name(outcome: Value | CallOutcome) -> str | CallOutcome:
    assert isinstance(outcome, CallOutcome)
    if outcome.status is Status.UNSERIALIZABLE:
        return NO_ERROR
    if outcome.status is not Status.ERROR:
        return outcome
    if not is_answerable(outcome.error_type):
        shown = ascii(outcome.error_type[:40])
        detail = f"the exception's name, {shown}, is none that an answer could give: it must be an "
        detail += f"identifier of at most {MAX_NAME} characters, and not {NO_ERROR}"
        return CallOutcome(Status.UNSERIALIZABLE, detail=detail)
    return outcome.error_type


def _first_problem(results: Sequence[Value | str | CallOutcome]) -> tuple[Status, str]:
    problems = [
        (number, result) for number, result in enumerate(results, 1)
        if isinstance(result, CallOutcome)
    ]  # fmt: skip
    if not problems:
        return Status.OK, ""
    for _, result in problems:  # a platform fault says nothing about the row: it comes first
        if result.status is Status.INFRA:
            return result.status, result.detail
    number, result = problems[0]
    alone = len(results) == 1 or result.status in (Status.SCREENED, Status.SYNTAX_ERROR)
    return result.status, result.detail if alone else f"input {number}: {result.detail}"


def _text(result: Value) -> str:
    return result.text


def _compared(result: Value, expected: Value) -> str:
    """The reason why a result is not the value that was given; empty if it is."""
    if result.data == expected.data:
        return ""
    with result.kept(), expected.kept():
        try:
            same = result.equals(expected)
        except TooCostly:
            return "the given output takes too long to compare with the value that is returned"
        if same:
            return ""
        return f"the program returns another value than given: {result.difference(expected)}"


def _praise(triplet: Triplet, computed: Computed, *, given: bool) -> str:
    what = "value" if triplet.expects == "value" else "outcome"
    inputs = len(computed.results)
    who = f"the {what} is" if inputs == 1 else f"the {what}s of all {inputs} inputs are"
    also = ", and equal to what was given" if given else ""
    return f"{who} the same in {computed.runs} independent runs{also}"
