"""Judging answers: each answer is scored on its own, equal answers once, on plain values.

No answer shares a process with the expected value, nor with another party's code beyond what its
task needs: an expression is evaluated alone and becomes a value; the program then runs on that
value in a fresh process; the comparison is made here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

from executor.frames import Call, How, Parsed, ParseItem
from executor.models import (
    Judgement,
    JudgeTask,
    Signal,
    Status,
    TaskType,
    Triplet,
    Usage,
)
from executor.verification.engine import NO_SIGNALS, CallOutcome, Engine, Run
from executor.verification.error_names import error_name
from executor.verification.prepare import (
    Program,
    argument_items,
    program_item,
    read_arguments,
    read_program,
    read_value,
    value_items,
)
from executor.verification.runs import Evaluated, evaluate_alone, run_apart, run_calls
from executor.verification.signals import count_signals, signals_in_answer, signals_of
from executor.verification.source import with_imports
from executor.verification.validation import Validator, import_context
from executor.verification.values import FORGED, Value, decoded, value_of

RECHECK_SHARE = 1 / 64
"""Share of the answers judged in a shared process that are judged again in one of their own."""


class Scored(NamedTuple):
    """One answer's score; ``None`` if the platform failed."""

    score: float | None
    status: Status
    detail: str
    signals: frozenset[Signal] = NO_SIGNALS


class _Judged(NamedTuple):
    """An answer on its way: to be run, already run, or refused."""

    entry: Call | Value | CallOutcome
    usage: Usage = Usage()
    signals: frozenset[Signal] = NO_SIGNALS
    """Seen when its expression was evaluated."""


class _Broken(Exception):
    """The task itself cannot be used; every answer gets this outcome."""

    def __init__(self, outcome: CallOutcome) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class Judge:
    """Scores answers on an engine."""

    def __init__(self, engine: Engine, validator: Validator) -> None:
        """``validator`` computes gold outputs; its rules are also those for solvers' programs."""
        self._engine = engine
        self._validator = validator
        self._context = validator.context
        self._random = random.Random()

    async def judge(self, task: JudgeTask, index: int) -> Judgement:
        """Score all answers of a task; ``index`` is its place in a batch."""
        distinct = list(dict.fromkeys(task.answers))
        score: Callable[[JudgeTask, Sequence[str]], Awaitable[tuple[list[Scored], Usage]]] = {
            TaskType.DEDUCTION: self._deduction,
            TaskType.ABDUCTION: self._abduction,
            TaskType.INDUCTION: self._induction,
            TaskType.ERROR: self._error,
        }[task.task]
        try:
            scored, usage = await score(task, distinct)
        except _Broken as broken:
            outcome = broken.outcome
            detail = f"the task cannot be used: {outcome.detail}"
            lost = outcome.status is Status.INFRA
            scored = [Scored(None if lost else 0.0, outcome.status, detail)] * len(distinct)
            usage = Usage()
        by_answer = dict(zip(distinct, scored, strict=True))
        results = [by_answer[answer] for answer in task.answers]
        return Judgement(
            index=index,
            id=task.id,
            scores=tuple(result.score for result in results),
            statuses=tuple(result.status for result in results),
            details=tuple(result.detail for result in results),
            signals=count_signals(result.signals for result in results),
            usage=usage,
            key=self._key(task),
            backend=self._context.backend,
            interpreter=self._context.interpreter,
        )

    def _key(self, task: JudgeTask) -> str:
        return self._context.key(
            task.task,
            task.program,
            task.imports,
            task.inputs,
            task.outputs,
            task.answers,
            task.scoring,
            task.strict,
        )

    # ---- deduction -----------------------------------------------------------------------------

    async def _deduction(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        expected, usage = await self._expected(task)
        parsed = await self._engine.parse(value_items(answers, task.program))
        values = await self._values(task.imports, parsed)
        scored = [
            _with_signals(
                _compare(evaluated.value, expected, strict=task.strict),
                evaluated.signals | _signals_in(answer, text),
            )
            for text, answer, evaluated in zip(answers, parsed, values, strict=True)
        ]
        return scored, sum((evaluated.usage for evaluated in values), usage)

    async def _expected(self, task: JudgeTask) -> tuple[Value, Usage]:
        """The gold output: as given, or what the program gives for the gold input."""
        if not task.outputs:
            return await self._computed_output(task)
        parsed = await self._engine.parse(value_items(task.outputs[:1]))
        (evaluated,) = await self._values(task.imports, parsed)
        if not isinstance(evaluated.value, Value):
            raise _Broken(evaluated.value)
        return evaluated.value, evaluated.usage

    async def _computed_output(self, task: JudgeTask) -> tuple[Value, Usage]:
        if task.program is None or not task.inputs:
            missing = "neither an output nor a program with an input is given"
            raise _Broken(CallOutcome(Status.MALFORMED, detail=missing))
        computed = await self._validator.compute(_gold(task, "value"))
        (result,) = computed.results
        if isinstance(result, CallOutcome):
            raise _Broken(result)
        assert isinstance(result, Value)
        return result, computed.usage

    async def _values(self, imports: Sequence[str], parsed: Sequence[Parsed]) -> list[Evaluated]:
        """The values of expressions; those that are no literals are evaluated, each alone."""
        context: Program | CallOutcome | None = None
        if any(answer.outcome == "expression" for answer in parsed):
            context = await import_context(self._engine, imports)

        async def value(answer: Parsed) -> Evaluated:
            read = read_value(answer)
            if isinstance(read, bytes):
                return Evaluated(decoded(read))
            if isinstance(read, CallOutcome):
                return Evaluated(read)
            if not isinstance(context, Program):
                raise _Broken(context or FORGED)
            return await evaluate_alone(self._engine, context, read)

        return await asyncio.gather(*map(value, parsed))

    # ---- abduction -----------------------------------------------------------------------------

    async def _abduction(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        program, parsed = await self._program_and(task, argument_items(answers))
        expected, usage = await self._expected(task)
        judged = await self._calls(task, program, parsed)
        usage = sum((one.usage for one in judged), usage)
        judged, used = await self._with_gold_input(task, answers, judged)
        calls = [one.entry for one in judged if isinstance(one.entry, Call)]
        run = await self._run_answers(task, program, calls, expected)
        outcomes = iter(run.outcomes)
        scored = []
        for text, answer, (entry, _, signals) in zip(answers, parsed, judged, strict=True):
            outcome = next(outcomes) if isinstance(entry, Call) else entry
            value = value_of(outcome) if isinstance(outcome, CallOutcome) else outcome
            score = _compare(value, expected, strict=task.strict)
            seen = signals | signals_of(outcome, value) | _signals_in(answer, text)
            scored.append(_with_signals(score, seen))
        return scored, usage + used + run.usage

    async def _with_gold_input(
        self, task: JudgeTask, answers: Sequence[str], judged: Sequence[_Judged]
    ) -> tuple[list[_Judged], Usage]:
        """Let an answer that repeats the gold input word for word have the gold input's outcome.

        Only needed where the input is no plain value (a function, say): the answer's expression may
        not run in the program's process, the author's own input may.
        """
        usage = Usage()
        gold = task.inputs[0].strip() if task.inputs else None
        results = list(judged)
        for number, (answer, one) in enumerate(zip(answers, judged, strict=True)):
            unserializable = isinstance(one.entry, CallOutcome) and (
                one.entry.status is Status.UNSERIALIZABLE
            )
            if unserializable and answer.strip() == gold:
                computed = await self._validator.compute(_gold(task, "value"))
                (result,) = computed.results
                assert not isinstance(result, str)
                results[number] = _Judged(result)
                usage += computed.usage
        return results, usage

    async def _program_and(
        self, task: JudgeTask, items: Sequence[ParseItem]
    ) -> tuple[Program, list[Parsed]]:
        if task.program is None:
            raise _Broken(CallOutcome(Status.MALFORMED, detail="no program is given"))
        source = with_imports(task.program, task.imports)
        parsed = await self._engine.parse([program_item(source, self._context.rules), *items])
        program = read_program(parsed[0], source)
        if isinstance(program, CallOutcome):
            raise _Broken(program)
        return program, parsed[1:]

    async def _calls(
        self, task: JudgeTask, program: Program | None, parsed: Sequence[Parsed]
    ) -> list[_Judged]:
        """Calls with values for arguments; expressions are evaluated, each by itself."""

        async def call(answer: Parsed) -> _Judged:
            read = read_arguments(answer)
            if isinstance(read, CallOutcome):
                return _Judged(read)
            if read.collect is None:
                return _Judged(read.call)
            return await self._collect(task, program, read.collect)

        return await asyncio.gather(*map(call, parsed))

    async def _collect(self, task: JudgeTask, program: Program | None, expression: Call) -> _Judged:
        """Evaluate arguments that are no literals to values, before and apart from the run.

        Alone at first; if they need a name of the program (a class, ``f`` itself), in a process
        with the program. Either way only a plain value goes on to the run that is judged.
        """
        context = await import_context(self._engine, task.imports)
        if isinstance(context, CallOutcome):
            return _Judged(context)
        run = await self._engine.run(context.code, [expression], colour=None, imports=True)
        outcome, usage = run.outcomes[0], run.usage
        if outcome.error_type == "NameError" and program is not None:
            run = await self._engine.run(
                program.code, [expression], colour=None, imports=program.imports
            )
            outcome, usage = run.outcomes[0], usage + run.usage
        value = value_of(outcome)
        if isinstance(value, Value) and not _are_arguments(value.decoded):
            value = FORGED
        entry = Call(How.ENCODED, value.data) if isinstance(value, Value) else value
        return _Judged(entry, usage, signals_of(outcome, value))

    async def _run_answers(
        self, task: JudgeTask, program: Program, calls: Sequence[Call], expected: Value
    ) -> Run:
        """Run the program on each answer.

        Answers may share a process only if the program is proven deterministic and cannot carry
        anything from one call to the next, and what they share is believed only if it scores all
        of them alike; their order is random, a random share is run again in a process of its own,
        and any disagreement sends all of them there.
        """
        if len(calls) < 2 or not program.may_share or not await self._is_proven(task, program):
            return await run_apart(self._engine, program, calls, colour=None)
        order = list(range(len(calls)))
        self._random.shuffle(order)
        shared = await run_calls(self._engine, program, [calls[i] for i in order], colour=None)
        outcomes = [shared.outcomes[order.index(i)] for i in range(len(calls))]
        if (
            len({_compare(value_of(one), expected, strict=task.strict).score for one in outcomes})
            > 1
        ):
            apart = await run_apart(self._engine, program, calls, colour=None)
            return Run(apart.outcomes, shared.usage + apart.usage)
        checked = [i for i in order if self._random.random() < RECHECK_SHARE]
        if not checked:
            return Run(tuple(outcomes), shared.usage)
        again = await run_apart(self._engine, program, [calls[i] for i in checked], colour=None)
        usage = shared.usage + again.usage
        if all(_same(outcomes[i], other) for i, other in zip(checked, again.outcomes, strict=True)):
            return Run(tuple(outcomes), usage)
        apart = await run_apart(self._engine, program, calls, colour=None)
        return Run(apart.outcomes, usage + apart.usage)

    async def _is_proven(self, task: JudgeTask, program: Program) -> bool:
        if self._validator.is_proven(program):
            return True
        if not task.inputs:
            return False
        computed = await self._validator.compute(_gold(task, "value"))
        return computed.sound

    # ---- induction -----------------------------------------------------------------------------

    async def _induction(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        calls, expected, usage = await self._hidden_pairs(task)
        sources = [with_imports(answer, task.imports) for answer in answers]
        parsed = await self._engine.parse(
            [program_item(source, self._context.rules) for source in sources]
        )

        async def score(answer: Parsed) -> tuple[Scored, Usage]:
            program = read_program(answer)
            if isinstance(program, CallOutcome):
                return _failed(program), Usage()
            run = await run_calls(self._engine, program, calls, colour=None)
            found = list(map(value_of, run.outcomes))
            pairs = [
                _compare(value, wanted, strict=task.strict)
                for value, wanted in zip(found, expected, strict=True)
            ]
            scored = _combine(pairs, task.scoring)
            return _with_signals(scored, signals_of(*run.outcomes, *found)), run.usage

        results = await asyncio.gather(*map(score, parsed))
        return [scored for scored, _ in results], sum((used for _, used in results), usage)

    async def _hidden_pairs(self, task: JudgeTask) -> tuple[list[Call], list[Value], Usage]:
        if not task.inputs or len(task.inputs) != len(task.outputs):
            uneven = f"{len(task.inputs)} hidden inputs and {len(task.outputs)} hidden outputs"
            raise _Broken(CallOutcome(Status.MALFORMED, detail=uneven))
        count = len(task.inputs)
        items = [*argument_items(task.inputs), *value_items(task.outputs)]
        gold: Program | None = None
        if task.program is not None:
            gold, parsed = await self._program_and(task, items)
        else:
            parsed = await self._engine.parse(items)
        # As values: a solver's program never shares its process with an expression of the task.
        read = await self._calls(task, gold, parsed[:count])
        values = await self._values(task.imports, parsed[count:])
        usage = sum((one.usage for one in read), Usage())
        usage = sum((evaluated.usage for evaluated in values), usage)
        usable = _usable([one.entry for one in read])
        calls = [entry for entry in usable if isinstance(entry, Call)]
        return calls, _usable([evaluated.value for evaluated in values]), usage

    # ---- error deduction -----------------------------------------------------------------------

    async def _error(self, task: JudgeTask, answers: Sequence[str]) -> tuple[list[Scored], Usage]:
        usage = Usage()
        if task.outputs:
            expected = error_name(task.outputs[0])
        else:
            if task.program is None or not task.inputs:
                missing = "neither an outcome nor a program with an input is given"
                raise _Broken(CallOutcome(Status.MALFORMED, detail=missing))
            computed = await self._validator.compute(_gold(task, "error"))
            (result,) = computed.results
            if not isinstance(result, str):
                raise _Broken(result if isinstance(result, CallOutcome) else FORGED)
            expected, usage = error_name(result), computed.usage
        right = Scored(1.0, Status.OK, "the answer is right")
        wrong = Scored(0.0, Status.MISMATCH, "the outcome is another one")
        empty = Scored(0.0, Status.MALFORMED, "the answer names no exception")
        scored = []
        for answer in answers:
            name = error_name(answer)
            score = (right if name == expected else wrong) if name else empty
            seen = signals_in_answer(answer, literal=name.isidentifier())
            scored.append(_with_signals(score, seen))
        return scored, usage


def _signals_in(answer: Parsed, text: str) -> frozenset[Signal]:
    outcome = answer.outcome
    return signals_in_answer(text, literal=outcome == "literal", readable=outcome == "expression")


def _with_signals(scored: Scored, signals: frozenset[Signal]) -> Scored:
    return scored._replace(signals=signals) if signals else scored


def _usable[Wanted](parts: Sequence[Wanted | CallOutcome]) -> list[Wanted]:
    """The parts of a task; the first that is a problem makes the task unusable."""
    usable: list[Wanted] = []
    for part in parts:
        if isinstance(part, CallOutcome):
            raise _Broken(part)
        usable.append(part)
    return usable


def _gold(task: JudgeTask, expects: Literal["value", "error"]) -> Triplet:
    return Triplet(
        program=task.program or "",
        imports=task.imports,
        inputs=task.inputs[:1],
        expects=expects,
    )


def _are_arguments(value: object) -> bool:
    """Whether a decoded value has the shape ``(args, kwargs)``."""
    if type(value) is not tuple or len(value) != 2:
        return False
    args, kwargs = value
    return type(args) is tuple and type(kwargs) is dict and all(type(k) is str for k in kwargs)


def _same(one: CallOutcome, other: CallOutcome) -> bool:
    if one.status is not other.status or one.error_type != other.error_type:
        return False
    if one.value == other.value:
        return True
    first, second = value_of(one), value_of(other)
    return isinstance(first, Value) and isinstance(second, Value) and first.equals(second)


def _failed(outcome: CallOutcome) -> Scored:
    return Scored(None if outcome.status is Status.INFRA else 0.0, outcome.status, outcome.detail)


def _compare(value: Value | CallOutcome, expected: Value, *, strict: bool) -> Scored:
    if isinstance(value, CallOutcome):
        return _failed(value)
    if value.equals(expected, strict=strict):
        return Scored(1.0, Status.OK, "the answer is right")
    return Scored(0.0, Status.MISMATCH, f"got {_shortened(value.text)}")


def _shortened(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _combine(pairs: Sequence[Scored], scoring: str) -> Scored:
    """The score of a program from its scores on the hidden pairs."""
    lost = next((pair for pair in pairs if pair.score is None), None)
    if lost is not None:
        return lost
    right = sum(pair.score or 0.0 for pair in pairs)
    share = right / len(pairs)
    score = share if scoring == "fraction" else float(right > 0 if scoring == "any" else share == 1)
    detail = f"{right:.0f} of {len(pairs)} hidden pairs are right"
    if share == 1 or (scoring == "any" and right):
        return Scored(score, Status.OK, detail)
    first = next(pair for pair in pairs if not pair.score)
    return Scored(score, first.status, f"{detail}; first wrong one: {first.detail}")
