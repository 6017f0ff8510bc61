"""Judging answers: each answer is scored on its own, equal answers once, on plain values.

No answer shares a process with the expected value, nor with another party's code beyond what its
task needs: an expression is evaluated alone and becomes a value; the program then runs on that
value in a fresh process; the comparison is made here.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import batched
from typing import Literal, NamedTuple

from executor.grammar.compare import TooCostly
from executor.models import (
    PROGRAM_TASKS,
    Judgement,
    JudgeTask,
    Rules,
    Signal,
    Status,
    TaskType,
    Triplet,
    Usage,
)
from executor.pool.engine import (
    NO_SIGNALS,
    NOTHING_USED,
    CallOutcome,
    Engine,
    Used,
    total,
)
from executor.verification.budget import (
    AT_ONCE,
    HERE_BYTES,
    TOO_COSTLY,
    RowEngine,
    gather_few,
    off_loop,
    too_many,
)
from executor.verification.error_names import error_name
from executor.verification.prepare import (
    Arguments,
    Program,
    argument_items,
    program_item,
    read_arguments,
    read_program,
    read_value,
    tested_item,
    tests_item,
    value_items,
)
from executor.verification.runs import evaluate, run_one
from executor.verification.scoring import Broken, Scored, failed, malformed, shortened
from executor.verification.signals import (
    count_signals,
    signals_in_answer,
    signals_in_program,
    signals_of,
)
from executor.verification.source import with_imports
from executor.verification.testing.assertions import Assertions, read_compiled
from executor.verification.testing.mathematics import SOURCE, Mathematics
from executor.verification.testing.returns import Calls, Returns, values_of
from executor.verification.testing.scripts import Pytest, RunScript, Scripts, read_checker
from executor.verification.validation import Validator, import_context
from executor.verification.values import FORGED, Value, decoded, value_of
from executor.wire.frames import Call, How, Parsed, ParseItem

_TESTS = set(JudgeTask.model_fields) - {
    "task", "program", "imports", "inputs", "outputs", "answers", "scoring", "strict", "id",
}  # fmt: skip
"""Of a task only those that are judged by tests have."""
CHECKER_RULES = Rules(banned_modules=(), min_parameters=0, max_source_bytes=1 << 20)
"""Rules for the code of a task's author: it only has to compile."""
_GIVEN = PROGRAM_TASKS | {TaskType.MATH}
"""Tasks whose tests, or whose result, somebody has written: they can be wrong themselves."""
_ANSWERS_AT_ONCE = 64
"""Answers whose code and values may be in memory at a time."""
_PROGRAMS_AT_ONCE = 4
"""Of these, each may give many values."""
_GROUPS_AT_ONCE = 2
"""Of answers that are run together."""
_EVALUATED_AT_ONCE = 4
"""Expressions, whose values are held until the runs that use them are over."""
_MANY_ANSWERS = 1000
"""More may not all be gone through in one step of the event loop."""


class _Judged(NamedTuple):
    """An answer on its way: to be run, already run, or refused."""

    entry: Call | CallOutcome
    used: Used = NOTHING_USED
    signals: frozenset[Signal] = NO_SIGNALS
    """Seen when its expression was evaluated."""


_Result = tuple[Scored, Used]
_Scoring = Callable[[Sequence[str]], Awaitable[tuple[list[Scored], Usage]]]
"""Scores some answers of a task that has been looked at."""

_RIGHT = Scored(1.0, Status.OK, "the answer is right")


class _Gold:
    """A value that answers are compared with."""

    def __init__(self, value: Value, *, strict: bool) -> None:
        self.value = value
        self._strict = strict
        self._known: dict[bytes, Scored] = {}

    async def score(self, outcome: CallOutcome) -> Scored:
        """The score of an outcome, with its signals. Equal values are looked at once."""
        data = outcome.value
        if data is None:
            return _with_signals(failed(outcome), outcome.signals)
        small = len(data) <= HERE_BYTES
        scored = self._known.get(data) if small else None
        if scored is None:
            scored = await off_loop(len(data) + len(self.value.data), self._compared, data)
            if small:
                self._known[data] = scored
        return _with_signals(scored, scored.signals | outcome.signals)

    def _compared(self, data: bytes) -> Scored:
        if data == self.value.data:
            return _RIGHT
        value = decoded(data, keep=True)
        if isinstance(value, CallOutcome):
            return _with_signals(failed(value), value.signals)
        try:
            right = value.equals(self.value, strict=self._strict)
        except TooCostly:
            return failed(TOO_COSTLY)
        if right:
            return _RIGHT
        return Scored(0.0, Status.MISMATCH, f"got {shortened(value.text)}")


class Judge:
    """Scores answers on an engine."""

    def __init__(self, engine: Engine, validator: Validator, run_script: RunScript) -> None:
        """``validator`` computes gold outputs; its rules are also those for solvers' programs.
        ``run_script`` runs a script once."""
        self._engine = RowEngine(engine, validator.context.limits)
        self._validator = validator
        self._context = validator.context
        self._run_script = run_script

    async def judge(self, task: JudgeTask, index: int) -> Judgement:
        """Score all answers of a task; ``index`` is its place in a batch."""
        row = copy.copy(self)
        row._engine = self._engine.fresh()
        return await row._judge(task, index)

    async def _judge(self, task: JudgeTask, index: int) -> Judgement:
        distinct = list(dict.fromkeys(task.answers))
        await _breath(task)
        scored, usage = await self._scored(task, distinct)
        await _breath(task)
        key = self._key(task)
        await _breath(task)
        if task.task in PROGRAM_TASKS:
            scored = [
                _with_signals(one, one.signals | signals_in_program(text, task.files))
                for text, one in zip(distinct, scored, strict=True)
            ]
            await _breath(task)
        by_answer = dict(zip(distinct, scored, strict=True))
        results = [by_answer[answer] for answer in task.answers]
        await _breath(task)
        signals = count_signals([result.signals for result in results])
        scores = tuple([result.score for result in results])
        await _breath(task)
        statuses = tuple([result.status for result in results])
        details = tuple([result.detail for result in results])
        await _breath(task)
        tested = task.task in PROGRAM_TASKS
        counts = tuple((result.passed, result.total) for result in results) if tested else ()
        cases = tuple(result.cases for result in results) if tested and task.cases else ()
        return Judgement.model_construct(  # all of it is ours: nothing is to be checked
            index=index,
            id=task.id,
            scores=scores,
            statuses=statuses,
            details=details,
            counts=counts,
            cases=cases,
            weak=task.task is TaskType.PYTEST or task.together,
            signals=signals,
            usage=usage,
            key=key,
            backend=self._context.backend,
            interpreter=self._context.interpreter,
        )

    async def _scored(self, task: JudgeTask, answers: Sequence[str]) -> tuple[list[Scored], Usage]:
        """The scores of answers that all differ, and what all runs have used."""
        prepare: Callable[[JudgeTask], Awaitable[tuple[_Scoring, Usage]]] = {
            TaskType.DEDUCTION: self._deduction,
            TaskType.ABDUCTION: self._abduction,
            TaskType.INDUCTION: self._induction,
            TaskType.ERROR: self._error,
            TaskType.CALL: self._by_calls,
            TaskType.ASSERT: self._by_assertions,
            TaskType.STDIO: self._by_output,
            TaskType.PYTEST: self._by_pytest,
            TaskType.MATH: self._by_meaning,
        }[task.task]
        scored: list[Scored] = []
        try:
            refused = too_many(
                self._context.limits, task.answers, task.inputs, task.outputs, task.imports
            )
            if refused is not None:
                raise Broken(refused)
            score, usage = await prepare(task)
            for some in batched(answers, _ANSWERS_AT_ONCE):
                more, used = await score(some)
                scored += more
                usage += used
                if len(scored) < len(answers):
                    await asyncio.sleep(0)  # answers may be scored without waiting for anything
        except Broken as broken:
            outcome = broken.outcome
            detail = f"the task cannot be used: {outcome.detail}"
            # A program is not scored at all by tests that are no tests.
            lost = outcome.status is Status.INFRA or task.task in _GIVEN
            useless = Scored(None if lost else 0.0, outcome.status, detail)
            return [useless] * len(answers), Usage()
        return scored, usage

    def _key(self, task: JudgeTask) -> str:
        parts: list[object] = [
            task.task,
            task.program,
            task.imports,
            task.inputs,
            task.outputs,
            task.answers,
            task.scoring,
            task.strict,
        ]
        if task.task in _GIVEN:
            parts.append(task.model_dump(mode="json", include=_TESTS, exclude_defaults=True))
        return self._context.key(*parts)

    # ---- deduction -----------------------------------------------------------------------------

    async def _deduction(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        gold, used = await self._expected(task)

        async def score(answers: Sequence[str]) -> tuple[list[Scored], Usage]:
            parsed = await self._engine.parse(value_items(answers, task.program))
            context = await self._imports_for(task.imports, parsed)

            async def one(text: str, answer: Parsed) -> _Result:
                outcome, used = await self._value(context, answer)
                scored = await gold.score(outcome)
                return _with_signals(scored, scored.signals | _signals_in(answer, text)), used

            pairs = zip(answers, parsed, strict=True)
            return _told(await gather_few([partial(one, *pair) for pair in pairs]))

        return score, used.usage()

    async def _expected(self, task: JudgeTask) -> tuple[_Gold, Used]:
        """The gold output: as given, or what the program gives for the gold input."""
        if not task.outputs:
            return await self._computed_output(task)
        parsed = await self._engine.parse(value_items(task.outputs[:1]))
        return await self._given(task, parsed[0])

    async def _given(self, task: JudgeTask, parsed: Parsed) -> tuple[_Gold, Used]:
        """An output that the task gives."""
        context = await self._imports_for(task.imports, [parsed])
        outcome, used = await self._value(context, parsed)
        keep = outcome.size <= HERE_BYTES
        value = await off_loop(outcome.size, partial(value_of, keep=keep), outcome)
        if isinstance(value, CallOutcome):
            raise Broken(value)
        return _Gold(value, strict=task.strict), used

    async def _computed_output(self, task: JudgeTask) -> tuple[_Gold, Used]:
        if task.program is None or not task.inputs:
            missing = "neither an output nor a program with an input is given"
            raise Broken(CallOutcome(Status.MALFORMED, detail=missing))
        computed = await self._validator.compute(_gold(task, "value"))
        (result,) = computed.results
        if isinstance(result, CallOutcome):
            raise Broken(result)
        assert isinstance(result, Value)
        return _Gold(result, strict=task.strict), computed.used

    async def _imports_for(
        self, imports: Sequence[str], parsed: Sequence[Parsed]
    ) -> Program | CallOutcome | None:
        """The program that expressions are evaluated in, if there are any."""
        if any(answer.outcome == "expression" for answer in parsed):
            return await import_context(self._engine, imports)
        return None

    async def _value(
        self, context: Program | CallOutcome | None, answer: Parsed
    ) -> tuple[CallOutcome, Used]:
        """The value of an expression; one that is no literal is evaluated, alone."""
        read = read_value(answer)
        if isinstance(read, bytes):
            return CallOutcome(Status.OK, read), NOTHING_USED
        if isinstance(read, CallOutcome):
            return read, NOTHING_USED
        if not isinstance(context, Program):
            raise Broken(context or FORGED)
        outcome, used, _ = await evaluate(self._engine.fresh(), context, read)
        return outcome, used

    # ---- abduction -----------------------------------------------------------------------------

    async def _abduction(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        program, given = await self._program_and(task, value_items(task.outputs[:1]))
        gold, used = await (self._given(task, given[0]) if given else self._expected(task))

        async def score(answers: Sequence[str]) -> tuple[list[Scored], Usage]:
            parsed = await self._engine.parse(argument_items(answers))
            found: dict[int, _Result] = {}

            async def together(numbers: Sequence[int]) -> None:
                calls = [_literal_call(parsed[number]) for number in numbers]
                runs = await self._engine.run_apart(program.job(calls))
                for number, run in zip(numbers, runs, strict=True):
                    found[number] = (await gold.score(run.outcome), run.used)

            async def alone(number: int) -> None:
                text, answer = answers[number], parsed[number]
                judged = await self._call(task, program, answer)
                outcome, used = await self._outcome_of(task, program, text, judged)
                scored = await gold.score(outcome)
                seen = scored.signals | judged.signals | _signals_in(answer, text)
                found[number] = (_with_signals(scored, seen), used)

            literal = [n for n, answer in enumerate(parsed) if answer.outcome == "literal"]
            groups = batched(literal, AT_ONCE)
            await gather_few([partial(together, group) for group in groups], _GROUPS_AT_ONCE)
            rest = [number for number in range(len(answers)) if number not in found]
            await gather_few([partial(alone, number) for number in rest], _EVALUATED_AT_ONCE)
            return _told([found[number] for number in range(len(answers))])

        return score, used.usage()

    async def _outcome_of(
        self, task: JudgeTask, program: Program, text: str, judged: _Judged
    ) -> tuple[CallOutcome, Used]:
        """Run the program on an answer whose expression has been evaluated."""
        if isinstance(judged.entry, Call):
            outcome, used, _ = await run_one(self._engine.fresh(), program, judged.entry)
            return outcome, judged.used + used
        return await self._with_gold_input(task, text, judged)

    async def _with_gold_input(
        self, task: JudgeTask, answer: str, judged: _Judged
    ) -> tuple[CallOutcome, Used]:
        """Let an answer that repeats the gold input word for word have the gold input's outcome.

        Only needed where the input is no plain value (a function, say): the answer's expression may
        not run in the program's process, the author's own input may.
        """
        entry, used, _ = judged
        assert isinstance(entry, CallOutcome)
        if entry.status is not Status.UNSERIALIZABLE:
            return entry, used
        if not task.inputs or answer.strip() != task.inputs[0].strip():
            return entry, used
        computed = await self._validator.compute(_gold(task, "value"))
        (result,) = computed.results
        assert not isinstance(result, str)
        outcome = CallOutcome(Status.OK, result.data) if isinstance(result, Value) else result
        return outcome, used + computed.used

    async def _program_and(
        self, task: JudgeTask, items: Sequence[ParseItem]
    ) -> tuple[Program, list[Parsed]]:
        if task.program is None:
            raise Broken(CallOutcome(Status.MALFORMED, detail="no program is given"))
        source = with_imports(task.program, task.imports)
        parsed = await self._engine.parse([program_item(source, self._context.rules), *items])
        program = read_program(parsed[0])
        if isinstance(program, CallOutcome):
            raise Broken(program)
        return program, parsed[1:]

    async def _call(self, task: JudgeTask, program: Program | None, answer: Parsed) -> _Judged:
        """A call with values for arguments; an expression is evaluated, by itself."""
        read = read_arguments(answer)
        if isinstance(read, CallOutcome):
            return _Judged(read)
        if read.collect is None:
            return _Judged(read.call)
        return await self._collect(task, program, read.collect)

    async def _collect(self, task: JudgeTask, program: Program | None, expression: Call) -> _Judged:
        """Evaluate arguments that are no literals to values, before and apart from the run.

        Alone at first; if they need a name of the program (a class, ``f`` itself), in a process
        with the program. Either way only a plain value goes on to the run that is judged.
        """
        context = await import_context(self._engine, task.imports)
        if isinstance(context, CallOutcome):
            return _Judged(context)
        engine = self._engine.fresh()
        outcome, used, _ = await evaluate(engine, context, expression)
        if outcome.error_type == "NameError" and program is not None:
            outcome, more, _ = await run_one(engine, program, expression)
            used += more
        value = await off_loop(outcome.size, _arguments_of, outcome)
        entry = Call(How.ENCODED, value.data) if isinstance(value, Value) else value
        return _Judged(entry, used, signals_of(outcome, value))

    # ---- induction -----------------------------------------------------------------------------

    async def _induction(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        calls, golds, used = await self._hidden_pairs(task)

        async def score(answers: Sequence[str]) -> tuple[list[Scored], Usage]:
            parsed = await self._parsed_programs(task, answers)
            programs = [partial(self._score_program, task, calls, golds, one) for one in parsed]
            return _told(await gather_few(programs, _PROGRAMS_AT_ONCE))

        return score, used.usage()

    async def _score_program(
        self, task: JudgeTask, calls: Sequence[Call], golds: Sequence[_Gold], answer: Parsed
    ) -> _Result:
        program = read_program(answer)
        if isinstance(program, CallOutcome):
            return failed(program), NOTHING_USED
        (runs,) = await self._engine.fresh().run([program.job(calls)])
        pairs = []
        for run, gold in zip(runs, golds, strict=True):
            pairs.append(await gold.score(run.outcome))
            if len(pairs) % _ANSWERS_AT_ONCE == 0:
                await asyncio.sleep(0)
        signals = NO_SIGNALS.union(*[pair.signals for pair in pairs])
        return _with_signals(_combine(pairs, task.scoring), signals), total(runs)

    async def _hidden_pairs(self, task: JudgeTask) -> tuple[list[Call], list[_Gold], Used]:
        if not task.inputs or len(task.inputs) != len(task.outputs):
            uneven = f"{len(task.inputs)} hidden inputs and {len(task.outputs)} hidden outputs"
            raise Broken(CallOutcome(Status.MALFORMED, detail=uneven))
        count = len(task.inputs)
        items = [*argument_items(task.inputs), *value_items(task.outputs)]
        program: Program | None = None
        if task.program is not None:
            program, parsed = await self._program_and(task, items)
        else:
            parsed = await self._engine.parse(items)
        # As values: a solver's program never shares its process with an expression of the task.
        calls, used = await self._calls(task, program, parsed[:count])
        given = await gather_few([partial(self._given, task, one) for one in parsed[count:]])
        return calls, [gold for gold, _ in given], sum([more for _, more in given], used)

    async def _calls(
        self, task: JudgeTask, program: Program | None, parsed: Sequence[Parsed]
    ) -> tuple[list[Call], Used]:
        """The inputs of a task as calls. Raises :class:`Broken`."""
        read = await gather_few([partial(self._call, task, program, one) for one in parsed])
        calls = []
        for one in read:
            if isinstance(one.entry, CallOutcome):
                raise Broken(one.entry)
            calls.append(one.entry)
        return calls, sum([one.used for one in read], NOTHING_USED)

    # ---- programs that are judged by tests ------------------------------------------------------

    async def _by_calls(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        if task.outputs or task.program is None:
            calls, golds, used = await self._hidden_pairs(task)
            expected, usage = [gold.value for gold in golds], used.usage()
        else:
            calls, expected, usage = await self._computed_pairs(task)
        tests = Returns(self._engine, task, Calls(calls, expected))

        async def score(answers: Sequence[str]) -> tuple[list[Scored], Usage]:
            return await tests.score(await self._parsed_programs(task, answers))

        return score, usage

    async def _computed_pairs(self, task: JudgeTask) -> tuple[list[Call], list[Value], Usage]:
        """The calls of a task, and what its own program returns."""
        source = with_imports(task.program or "", task.imports)
        items = [tested_item(source, CHECKER_RULES), *argument_items(task.inputs)]
        found, *given = await self._engine.parse(items)
        program = read_program(found)
        if isinstance(program, CallOutcome):
            raise Broken(program)
        calls, used = await self._calls(task, None, given)
        values, usage = await values_of(self._engine.fresh(), program, task, calls)
        return calls, values, used.usage() + usage

    async def _by_assertions(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        if not task.tests:
            raise malformed("the task has no tests")
        (parsed,) = await self._engine.parse([tests_item(with_imports(task.tests, task.imports))])
        tests = read_compiled(task, parsed)
        assertions = Assertions(self._engine, self._context.limits, task, tests)
        usage = await assertions.prepare()

        async def score(answers: Sequence[str]) -> tuple[list[Scored], Usage]:
            return await assertions.score(answers, await self._parsed_programs(task, answers))

        return score, usage

    async def _by_output(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        checker = None
        if task.checker is not None:
            item = tested_item(with_imports(task.checker, task.imports), CHECKER_RULES)
            (parsed,) = await self._engine.parse([item])
            checker = read_checker(parsed)
        scripts = Scripts(self._engine, self._run_script, self._context.limits, task, checker)

        async def score(answers: Sequence[str]) -> tuple[list[Scored], Usage]:
            return await scripts.score(answers, await self._parsed_programs(task, answers))

        return score, Usage()

    async def _by_pytest(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        tests = Pytest(self._run_script, self._context.limits, task)
        item = tested_item(task.tests or "", CHECKER_RULES)
        (parsed,) = await self._engine.parse([item])
        program = read_program(parsed)
        if isinstance(program, CallOutcome):
            raise malformed(f"the tests: {program.detail}")

        async def score(answers: Sequence[str]) -> tuple[list[Scored], Usage]:
            return await tests.score(answers, await self._parsed_programs(task, answers))

        return score, Usage()

    async def _by_meaning(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        (parsed,) = await self._engine.parse([tested_item(SOURCE, CHECKER_RULES)])
        mathematics = Mathematics(self._engine, task, parsed)
        return mathematics.score, await mathematics.prove()

    async def _parsed_programs(self, task: JudgeTask, answers: Sequence[str]) -> list[Parsed]:
        sources = [with_imports(answer, task.imports) for answer in answers]
        item = tested_item if task.task in PROGRAM_TASKS else program_item
        rules = self._context.rules
        return await self._engine.parse([item(source, rules) for source in sources])

    # ---- error deduction -----------------------------------------------------------------------

    async def _error(self, task: JudgeTask) -> tuple[_Scoring, Usage]:
        expected, used = await self._expected_name(task)
        right = Scored(1.0, Status.OK, "the answer is right")
        wrong = Scored(0.0, Status.MISMATCH, "the outcome is another one")
        empty = Scored(0.0, Status.MALFORMED, "the answer names no exception")

        async def score(answers: Sequence[str]) -> tuple[list[Scored], Usage]:
            scored = []
            for answer in answers:
                name = error_name(answer)
                found = (right if name == expected else wrong) if name else empty
                plain = name.isidentifier() and ("(" not in answer or name[0].isupper())
                seen = signals_in_answer(answer, literal=plain)
                scored.append(_with_signals(found, seen))
            await _breath(task)
            return scored, Usage()

        return score, used.usage()

    async def _expected_name(self, task: JudgeTask) -> tuple[str, Used]:
        if task.outputs:
            return error_name(task.outputs[0]), NOTHING_USED
        if task.program is None or not task.inputs:
            missing = "neither an outcome nor a program with an input is given"
            raise Broken(CallOutcome(Status.MALFORMED, detail=missing))
        computed = await self._validator.compute(_gold(task, "error"))
        (result,) = computed.results
        if not isinstance(result, str):
            raise Broken(result if isinstance(result, CallOutcome) else FORGED)
        return error_name(result), computed.used


async def _breath(task: JudgeTask) -> None:
    """Between steps that go over all answers: let others on the event loop if these are many."""
    if len(task.answers) > _MANY_ANSWERS:
        await asyncio.sleep(0)


def _told(results: Sequence[_Result]) -> tuple[list[Scored], Usage]:
    used = sum([used for _, used in results], NOTHING_USED)
    return [scored for scored, _ in results], used.usage()


def _literal_call(parsed: Parsed) -> Call:
    arguments = read_arguments(parsed)
    assert isinstance(arguments, Arguments)
    return arguments.call


def _signals_in(answer: Parsed, text: str) -> frozenset[Signal]:
    outcome = answer.outcome
    return signals_in_answer(text, literal=outcome == "literal", readable=outcome == "expression")


def _with_signals(scored: Scored, signals: frozenset[Signal]) -> Scored:
    return scored if signals == scored.signals else scored._replace(signals=signals)


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


def _arguments_of(outcome: CallOutcome) -> Value | CallOutcome:
    value = value_of(outcome)
    if isinstance(value, Value) and not _are_arguments(value.decoded):
        return FORGED
    return value


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
