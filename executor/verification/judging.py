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
from executor.pool.engine import NO_SIGNALS, CallOutcome, Engine
from executor.verification.budget import TOO_COSTLY, RowEngine, gather_few, off_loop, too_many
from executor.verification.error_names import error_name
from executor.verification.prepare import (
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
from executor.verification.runs import Evaluated, evaluate_alone, run_calls
from executor.verification.scoring import Broken, Scored, failed, malformed, shortened
from executor.verification.signals import (
    count_signals,
    signals_in_answer,
    signals_in_program,
    signals_of,
)
from executor.verification.source import with_imports
from executor.verification.testing.assertions import Assertions, read_compiled
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
"""What is asked of the code of a task's author: that it can be compiled."""
_ANSWERS_AT_ONCE = 64
"""Answers whose code and values may be in memory at a time."""
_PROGRAMS_AT_ONCE = 4
"""Of these, each may give many values."""


class _Judged(NamedTuple):
    """An answer on its way: to be run, already run, or refused."""

    entry: Call | Value | CallOutcome
    usage: Usage = Usage()
    signals: frozenset[Signal] = NO_SIGNALS
    """Seen when its expression was evaluated."""


class Judge:
    """Scores answers on an engine."""

    def __init__(self, engine: Engine, validator: Validator, run_script: RunScript) -> None:
        """``validator`` computes gold outputs; its rules are also those for solvers' programs.
        ``run_script`` runs a script once."""
        self._engine = RowEngine(engine, validator.context.limits)
        self._validator = validator
        self._context = validator.context
        self._run_script = run_script
        self._assertions: Assertions | None = None
        self._scripts: Scripts | None = None

    async def judge(self, task: JudgeTask, index: int) -> Judgement:
        """Score all answers of a task; ``index`` is its place in a batch."""
        row = copy.copy(self)
        row._engine = self._engine.fresh()
        return await row._judge(task, index)

    async def _judge(self, task: JudgeTask, index: int) -> Judgement:
        distinct = list(dict.fromkeys(task.answers))
        score: Callable[[JudgeTask, Sequence[str]], Awaitable[tuple[list[Scored], Usage]]] = {
            TaskType.DEDUCTION: self._deduction,
            TaskType.ABDUCTION: self._abduction,
            TaskType.INDUCTION: self._induction,
            TaskType.ERROR: self._error,
            TaskType.CALL: self._by_calls,
            TaskType.ASSERT: self._by_assertions,
            TaskType.STDIO: self._by_output,
            TaskType.PYTEST: self._by_pytest,
        }[task.task]
        scored: list[Scored] = []
        usage = Usage()
        try:
            refused = too_many(
                self._context.limits, task.answers, task.inputs, task.outputs, task.imports
            )
            if refused is not None:
                raise Broken(refused)
            for some in batched(distinct, _ANSWERS_AT_ONCE):
                more, used = await score(task, some)
                scored += more
                usage += used
        except Broken as broken:
            outcome = broken.outcome
            detail = f"the task cannot be used: {outcome.detail}"
            # A program is not scored at all by tests that are no tests.
            lost = outcome.status is Status.INFRA or task.task in PROGRAM_TASKS
            scored = [Scored(None if lost else 0.0, outcome.status, detail)] * len(distinct)
        key = self._key(task)
        await asyncio.sleep(0)
        if task.task in PROGRAM_TASKS:
            scored = [
                _with_signals(one, one.signals | signals_in_program(text, task.files))
                for text, one in zip(distinct, scored, strict=True)
            ]
            await asyncio.sleep(0)
        by_answer = dict(zip(distinct, scored, strict=True))
        results = [by_answer[answer] for answer in task.answers]
        await asyncio.sleep(0)
        signals = count_signals(result.signals for result in results)
        scores = tuple(result.score for result in results)
        await asyncio.sleep(0)
        statuses = tuple(result.status for result in results)
        details = tuple(result.detail for result in results)
        await asyncio.sleep(0)
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
        if task.task in PROGRAM_TASKS:
            parts.append(task.model_dump(mode="json", include=_TESTS, exclude_defaults=True))
        return self._context.key(*parts)

    # ---- deduction -----------------------------------------------------------------------------

    async def _deduction(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        expected, usage = await self._expected(task)
        parsed = await self._engine.parse(value_items(answers, task.program))
        context = await self._imports_for(task.imports, parsed)

        async def score(text: str, answer: Parsed) -> tuple[Scored, Usage]:
            evaluated = await self._value(context, answer)
            scored = await _compare(evaluated.value, expected, strict=task.strict)
            seen = evaluated.signals | _signals_in(answer, text)
            return _with_signals(scored, seen), evaluated.usage

        pairs = zip(answers, parsed, strict=True)
        results = await gather_few(partial(score, *pair) for pair in pairs)
        return [scored for scored, _ in results], sum((used for _, used in results), usage)

    async def _expected(self, task: JudgeTask) -> tuple[Value, Usage]:
        """The gold output: as given, or what the program gives for the gold input."""
        if not task.outputs:
            return await self._computed_output(task)
        parsed = await self._engine.parse(value_items(task.outputs[:1]))
        context = await self._imports_for(task.imports, parsed)
        evaluated = await self._value(context, parsed[0])
        if not isinstance(evaluated.value, Value):
            raise Broken(evaluated.value)
        return evaluated.value, evaluated.usage

    async def _computed_output(self, task: JudgeTask) -> tuple[Value, Usage]:
        if task.program is None or not task.inputs:
            missing = "neither an output nor a program with an input is given"
            raise Broken(CallOutcome(Status.MALFORMED, detail=missing))
        computed = await self._validator.compute(_gold(task, "value"))
        (result,) = computed.results
        if isinstance(result, CallOutcome):
            raise Broken(result)
        assert isinstance(result, Value)
        return result, computed.usage

    async def _imports_for(
        self, imports: Sequence[str], parsed: Sequence[Parsed]
    ) -> Program | CallOutcome | None:
        """What expressions are evaluated in, if there are any."""
        if any(answer.outcome == "expression" for answer in parsed):
            return await import_context(self._engine, imports)
        return None

    async def _value(self, context: Program | CallOutcome | None, answer: Parsed) -> Evaluated:
        """The value of an expression; one that is no literal is evaluated, alone."""
        read = read_value(answer)
        if isinstance(read, bytes):
            return Evaluated(await off_loop(len(read), decoded, read))
        if isinstance(read, CallOutcome):
            return Evaluated(read)
        if not isinstance(context, Program):
            raise Broken(context or FORGED)
        return await evaluate_alone(self._engine.fresh(), context, read)

    # ---- abduction -----------------------------------------------------------------------------

    async def _abduction(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        program, parsed = await self._program_and(task, argument_items(answers))
        expected, usage = await self._expected(task)

        async def score(number: int) -> tuple[Scored, Usage]:
            text, answer = answers[number], parsed[number]
            judged = await self._call(task, program, answer)
            judged = await self._with_gold_input(task, text, judged)
            outcome, used = judged.entry, judged.usage
            if isinstance(outcome, Call):
                run = await run_calls(self._engine.fresh(), program, [outcome], variant=None)
                outcome, used = run.outcomes[0], used + run.usage
            value: Value | CallOutcome = FORGED
            if isinstance(outcome, CallOutcome):
                value = await off_loop(outcome.size, value_of, outcome)
            elif isinstance(outcome, Value):
                value = outcome
            scored = await _compare(value, expected, strict=task.strict)
            seen = judged.signals | signals_of(outcome, value) | _signals_in(answer, text)
            return _with_signals(scored, seen), used

        results = await gather_few(partial(score, number) for number in range(len(answers)))
        usage = sum((used for _, used in results), usage)
        return [scored for scored, _ in results], usage

    async def _with_gold_input(self, task: JudgeTask, answer: str, judged: _Judged) -> _Judged:
        """Let an answer that repeats the gold input word for word have the gold input's outcome.

        Only needed where the input is no plain value (a function, say): the answer's expression may
        not run in the program's process, the author's own input may.
        """
        entry = judged.entry
        if not isinstance(entry, CallOutcome) or entry.status is not Status.UNSERIALIZABLE:
            return judged
        if not task.inputs or answer.strip() != task.inputs[0].strip():
            return judged
        computed = await self._validator.compute(_gold(task, "value"))
        (result,) = computed.results
        assert not isinstance(result, str)
        return _Judged(result, judged.usage + computed.usage)

    async def _program_and(
        self, task: JudgeTask, items: Sequence[ParseItem]
    ) -> tuple[Program, list[Parsed]]:
        if task.program is None:
            raise Broken(CallOutcome(Status.MALFORMED, detail="no program is given"))
        source = with_imports(task.program, task.imports)
        parsed = await self._engine.parse([program_item(source, self._context.rules), *items])
        program = read_program(parsed[0], source)
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
        run = await engine.run(context.code, [expression], variant=None, imports=True)
        outcome, usage = run.outcomes[0], run.usage
        if outcome.error_type == "NameError" and program is not None:
            run = await engine.run(
                program.code, [expression], variant=None, imports=program.imports
            )
            outcome, usage = run.outcomes[0], usage + run.usage
        value = await off_loop(outcome.size, _arguments_of, outcome)
        entry = Call(How.ENCODED, value.data) if isinstance(value, Value) else value
        return _Judged(entry, usage, signals_of(outcome, value))

    # ---- induction -----------------------------------------------------------------------------

    async def _induction(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        calls, expected, usage = await self._hidden_pairs(task)
        parsed = await self._parsed_programs(task, answers)

        async def score(answer: Parsed) -> tuple[Scored, Usage]:
            program = read_program(answer)
            if isinstance(program, CallOutcome):
                return failed(program), Usage()
            run = await run_calls(self._engine.fresh(), program, calls, variant=None)
            signals = signals_of(*run.outcomes)
            pairs = []
            for outcome, wanted in zip(run.outcomes, expected, strict=True):
                value = await off_loop(outcome.size, value_of, outcome)
                signals |= signals_of(value)
                pairs.append(await _compare(value, wanted, strict=task.strict))
                if len(pairs) % _ANSWERS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            return _with_signals(_combine(pairs, task.scoring), signals), run.usage

        results = await gather_few(
            (partial(score, answer) for answer in parsed), at_once=_PROGRAMS_AT_ONCE
        )
        return [scored for scored, _ in results], sum((used for _, used in results), usage)

    async def _hidden_pairs(self, task: JudgeTask) -> tuple[list[Call], list[Value], Usage]:
        if not task.inputs or len(task.inputs) != len(task.outputs):
            uneven = f"{len(task.inputs)} hidden inputs and {len(task.outputs)} hidden outputs"
            raise Broken(CallOutcome(Status.MALFORMED, detail=uneven))
        count = len(task.inputs)
        items = [*argument_items(task.inputs), *value_items(task.outputs)]
        gold: Program | None = None
        if task.program is not None:
            gold, parsed = await self._program_and(task, items)
        else:
            parsed = await self._engine.parse(items)
        # As values: a solver's program never shares its process with an expression of the task.
        read = await gather_few(partial(self._call, task, gold, one) for one in parsed[:count])
        context = await self._imports_for(task.imports, parsed[count:])
        values = await gather_few(partial(self._value, context, one) for one in parsed[count:])
        usage = sum((one.usage for one in read), Usage())
        usage = sum((evaluated.usage for evaluated in values), usage)
        usable = _usable([one.entry for one in read])
        calls = [entry for entry in usable if isinstance(entry, Call)]
        return calls, _usable([evaluated.value for evaluated in values]), usage

    # ---- programs that are judged by tests ------------------------------------------------------

    async def _by_calls(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        if task.outputs or task.program is None:
            calls, expected, usage = await self._hidden_pairs(task)
        else:
            calls, expected, usage = await self._computed_pairs(task)
        tests = Returns(self._engine, task, Calls(calls, expected))
        scored, used = await tests.score(await self._parsed_programs(task, answers))
        return scored, usage + used

    async def _computed_pairs(self, task: JudgeTask) -> tuple[list[Call], list[Value], Usage]:
        """The calls of a task, and what its own program returns."""
        source = with_imports(task.program or "", task.imports)
        items = [tested_item(source, CHECKER_RULES), *argument_items(task.inputs)]
        found, *given = await self._engine.parse(items)
        program = read_program(found)
        if isinstance(program, CallOutcome):
            raise Broken(program)
        read = await gather_few(partial(self._call, task, None, one) for one in given)
        calls = [entry for entry in _usable([one.entry for one in read]) if isinstance(entry, Call)]
        usage = sum((one.usage for one in read), Usage())
        values, used = await values_of(self._engine.fresh(), program, task, calls)
        return calls, values, usage + used

    async def _by_assertions(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        usage = Usage()
        if self._assertions is None:
            if not task.tests:
                raise malformed("the task has no tests")
            (parsed,) = await self._engine.parse(
                [tests_item(with_imports(task.tests, task.imports))]
            )
            tests = read_compiled(task, parsed)
            self._assertions = Assertions(self._engine, self._context.limits, task, tests)
            usage = await self._assertions.prepare()
        programs = await self._parsed_programs(task, answers)
        scored, used = await self._assertions.score(answers, programs)
        return scored, usage + used

    async def _by_output(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        if self._scripts is None:
            checker = None
            if task.checker is not None:
                item = tested_item(with_imports(task.checker, task.imports), CHECKER_RULES)
                (parsed,) = await self._engine.parse([item])
                checker = read_checker(parsed)
            limits = self._context.limits
            self._scripts = Scripts(self._engine, self._run_script, limits, task, checker)
        return await self._scripts.score(answers, await self._parsed_programs(task, answers))

    async def _by_pytest(
        self, task: JudgeTask, answers: Sequence[str]
    ) -> tuple[list[Scored], Usage]:
        tests = Pytest(self._run_script, self._context.limits, task)
        item = tested_item(task.tests or "", CHECKER_RULES)
        (parsed,) = await self._engine.parse([item])
        program = read_program(parsed)
        if isinstance(program, CallOutcome):
            raise malformed(f"the tests: {program.detail}")
        return await tests.score(answers, await self._parsed_programs(task, answers))

    async def _parsed_programs(self, task: JudgeTask, answers: Sequence[str]) -> list[Parsed]:
        sources = [with_imports(answer, task.imports) for answer in answers]
        item = tested_item if task.task in PROGRAM_TASKS else program_item
        rules = self._context.rules
        return await self._engine.parse([item(source, rules) for source in sources])

    # ---- error deduction -----------------------------------------------------------------------

    async def _error(self, task: JudgeTask, answers: Sequence[str]) -> tuple[list[Scored], Usage]:
        usage = Usage()
        if task.outputs:
            expected = error_name(task.outputs[0])
        else:
            if task.program is None or not task.inputs:
                missing = "neither an outcome nor a program with an input is given"
                raise Broken(CallOutcome(Status.MALFORMED, detail=missing))
            computed = await self._validator.compute(_gold(task, "error"))
            (result,) = computed.results
            if not isinstance(result, str):
                raise Broken(result if isinstance(result, CallOutcome) else FORGED)
            expected, usage = error_name(result), computed.usage
        right = Scored(1.0, Status.OK, "the answer is right")
        wrong = Scored(0.0, Status.MISMATCH, "the outcome is another one")
        empty = Scored(0.0, Status.MALFORMED, "the answer names no exception")
        scored = []
        for answer in answers:
            name = error_name(answer)
            score = (right if name == expected else wrong) if name else empty
            plain = name.isidentifier() and ("(" not in answer or name[0].isupper())
            seen = signals_in_answer(answer, literal=plain)
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
            raise Broken(part)
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


async def _compare(value: Value | CallOutcome, expected: Value, *, strict: bool) -> Scored:
    if isinstance(value, CallOutcome):
        return failed(value)
    size = len(value.data) + len(expected.data)
    return await off_loop(size, _compared, value, expected, strict)


def _compared(value: Value, expected: Value, strict: bool) -> Scored:
    if value.data == expected.data:
        return Scored(1.0, Status.OK, "the answer is right")
    with value.kept():
        try:
            right = value.equals(expected, strict=strict)
        except TooCostly:
            return failed(TOO_COSTLY)
        if right:
            return Scored(1.0, Status.OK, "the answer is right")
        return Scored(0.0, Status.MISMATCH, f"got {shortened(value.text)}")


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
