"""``stdio``: a script is right if it prints what it should; ``pytest``: a module, if tests pass.

What a script should print is never in its sandbox: outputs are compared here, or by a checker in a
sandbox of its own. Of ``pytest`` tests and answer share a process, and the report of the tests is
believed as far as docs/tests.md says.
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import batched
from typing import NamedTuple

from executor.errors import InputError, LanguageUnavailable
from executor.grammar.closeness import near, number_of
from executor.libraries.missing import hint_in
from executor.models import Compare, JudgeTask, Limits, Script, ScriptResult, Signal, Status, Usage
from executor.pool.engine import CallOutcome
from executor.verification.budget import RowEngine, gather_few, off_loop
from executor.verification.prepare import Program, read_program
from executor.verification.runs import run_one
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
from executor.verification.source import with_imports
from executor.verification.values import Value, value_of
from executor.wire.frames import Call, How, Parsed, named

ANSWER = "solution.py"
"""The answer's file, for tests that import it."""
_ANSWERS_AT_ONCE = 4
_SIDE_BY_SIDE = 4
"""Tests of one answer that run at a time."""
_REPORT_BYTES = 64 * 1024
"""Of a report of pytest, what is read for a hint."""
_TELLING_BYTES = 8
"""Outputs of so many bytes are not printed by chance."""

type RunScript = Callable[[Script, Limits], Awaitable[ScriptResult]]


class Checker(NamedTuple):
    """A compiled program that says whether outputs are right."""

    program: Program


def read_checker(parsed: Parsed) -> Checker:
    """The checker of a task. Raises :class:`Broken`."""
    program = read_program(parsed)
    if isinstance(program, CallOutcome):
        if program.status is Status.INFRA:
            raise Broken(program)
        raise malformed(f"the checker: {program.detail}")
    return Checker(program)


class Scripts:
    """Scores answers by what they print."""

    def __init__(
        self,
        engine: RowEngine,
        run: RunScript,
        limits: Limits,
        task: JudgeTask,
        checker: Checker | None,
    ) -> None:
        """Raises :class:`Broken`."""
        if not task.stdin or len(task.stdin) != len(task.stdout):
            raise malformed(f"{len(task.stdin)} texts of stdin and {len(task.stdout)} of stdout")
        self._engine = engine
        self._run = run
        self._limits = limits
        self._task = task
        self._checker = checker
        self._expected = [_normal(text, task.compare) for text in task.stdout]
        self._digests = [_digest(text) for text in self._expected]
        self._checked: dict[int, Tested | None] = {}

    async def score(
        self, answers: Sequence[str], parsed: Sequence[Parsed]
    ) -> tuple[list[Scored], Usage]:
        """The scores of some answers, as the parser has them."""
        pairs = zip(answers, parsed, strict=True)
        results = await gather_few(
            [partial(self._one, *pair) for pair in pairs], at_once=_ANSWERS_AT_ONCE
        )
        return [scored for scored, _ in results], sum((used for _, used in results), Usage())

    async def _one(self, text: str, parsed: Parsed) -> tuple[Scored, Usage]:
        total = len(self._task.stdin)
        program = read_program(parsed)
        if isinstance(program, CallOutcome):
            return failed(program)._replace(total=total), Usage()
        source = with_imports(text, self._task.imports)
        signals: set[Signal] = set()
        tested: list[Tested] = []
        usage = Usage()
        for numbers in batched(range(total), _SIDE_BY_SIDE):
            some = await gather_few(
                [partial(self._test, source, number, signals) for number in numbers]
            )
            tested += some
            usage = sum((one.usage for one in some), usage)
            bad = any(one.status is not Status.OK for one in some)
            if bad and not goes_on(self._task):
                break
            if usage.wall_ms > self._limits.row_s * 1000 and len(tested) < total:
                detail = f"its tests take more than {self._limits.row_s:g} s (limits.row_s)"
                tested += [Tested(Status.ROW_LIMIT, detail)] * (total - len(tested))
                break
        if not goes_on(self._task):
            tested = _to_the_first_failure(tested)
        return summed_up(self._task, tested, total, frozenset(signals)), usage

    async def _test(self, source: str, number: int, signals: set[Signal]) -> Tested:
        script = Script.model_construct(
            source=source,
            stdin=self._task.stdin[number],
            argv=self._task.argv,
            files=self._task.files,
        )
        result = await run_script(self._run, script, self._limits)
        signals.update(result.signals)
        if result.status is not Status.OK:
            detail = result.detail + _last_line(result.stderr)
            return Tested(result.status, detail, result.usage)
        tested = await self._looked_at(number, result.stdout)
        if tested.status is Status.MISMATCH and self._is_of_another(number, result.stdout):
            signals.add(Signal.OTHER_OUTPUT)
        return tested._replace(usage=result.usage + tested.usage)

    async def _looked_at(self, number: int, printed: bytes) -> Tested:
        if self._checker is not None:
            return await self._by_checker(self._checker, number, printed)
        size = len(printed) + len(self._task.stdout[number])
        return await off_loop(size, self._compared, number, printed)

    def _compared(self, number: int, printed: bytes) -> Tested:
        compare = self._task.compare
        actual = _normal(_text(printed), compare)
        expected = self._expected[number]
        if actual == expected or (
            _is_numeric(compare) and _same_numbers(actual, expected, compare)
        ):
            return Tested(Status.OK)
        return Tested(Status.MISMATCH, f"printed {shortened(repr(_text(printed[:300])))}")

    def _is_of_another(self, number: int, printed: bytes) -> bool:
        if len(printed) < _TELLING_BYTES:
            return False
        digest = _digest(_normal(_text(printed), self._task.compare))
        own = self._digests[number]
        return any(digest == other != own for other in self._digests)

    # ---- checkers --------------------------------------------------------------------------------

    async def _by_checker(self, checker: Checker, number: int, printed: bytes) -> Tested:
        actual = printed.decode("utf-8", "replace")
        answer = await self._ask(checker, number, actual)
        if isinstance(answer, bool):
            if answer:
                return Tested(Status.OK)
            return Tested(Status.MISMATCH, f"printed {shortened(repr(actual[:300]))}")
        if answer.status is Status.INFRA:
            return Tested(answer.status, answer.detail)
        await self._prove(checker, number)
        return Tested(Status.MISMATCH, f"the checker cannot read the output: {answer.detail}")

    async def _prove(self, checker: Checker, number: int) -> None:
        """A checker that fails on an answer is to blame if it fails on what is expected, too."""
        answer = await self._ask(checker, number, self._task.stdout[number])
        if isinstance(answer, CallOutcome):
            if answer.status is Status.INFRA:
                raise Broken(answer)
            raise malformed(f"the checker fails on the expected output: {answer.detail}")

    async def _ask(self, checker: Checker, number: int, actual: str) -> bool | CallOutcome:
        arguments = (self._task.stdin[number], self._task.stdout[number], actual)
        call = named("check", Call(How.VALUES, marshal.dumps((arguments, {}), 2)))
        program = checker.program
        run = await run_one(self._engine.fresh(), program, call)
        value = value_of(run.outcome)
        if isinstance(value, Value):
            if type(value.decoded) is bool:
                return value.decoded
            return CallOutcome(Status.MALFORMED, detail="check() must return True or False")
        return value


class Pytest:
    """Scores answers by tests of pytest."""

    def __init__(self, run: RunScript, limits: Limits, task: JudgeTask) -> None:
        """Raises :class:`Broken`."""
        if not task.tests:
            raise malformed("the task has no tests")
        if ANSWER in task.files:
            raise malformed(f"{ANSWER} is the answer's own file")
        self._run = run
        self._limits = limits
        self._task = task

    async def score(
        self, answers: Sequence[str], parsed: Sequence[Parsed]
    ) -> tuple[list[Scored], Usage]:
        """The scores of some answers, as the parser has them."""
        pairs = zip(answers, parsed, strict=True)
        results = await gather_few(
            [partial(self._one, *pair) for pair in pairs], at_once=_ANSWERS_AT_ONCE
        )
        return [scored for scored, _ in results], sum((used for _, used in results), Usage())

    async def _one(self, text: str, parsed: Parsed) -> tuple[Scored, Usage]:
        program = read_program(parsed)
        if isinstance(program, CallOutcome):
            return failed(program)._replace(total=1), Usage()
        source = with_imports(text, self._task.imports).encode("utf-8", "surrogatepass")
        script = Script.model_construct(
            source=self._task.tests or "",
            language="pytest",
            argv=self._task.argv,
            files={**self._task.files, ANSWER: source},
        )
        result = await run_script(self._run, script, self._limits)
        detail = "" if result.status is Status.OK else _told(result)
        tested = [Tested(result.status, detail, result.usage)]
        scored = summed_up(self._task, tested, 1, frozenset(result.signals), "runs of the tests")
        return scored, result.usage


def _told(result: ScriptResult) -> str:
    """What is wrong, of a run of pytest."""
    report = result.stdout[-_REPORT_BYTES:]
    hint = hint_in(report.decode("utf-8", "replace"))
    return f"{result.detail}{_last_line(report)}{hint}"


async def run_script(run: RunScript, script: Script, limits: Limits) -> ScriptResult:
    """Run a script of a task. Raises :class:`Broken` if what the task says cannot be served."""
    try:
        return await run(script, limits)
    except LanguageUnavailable as problem:
        raise Broken(CallOutcome(Status.INFRA, detail=str(problem))) from None
    except InputError as problem:
        raise malformed(str(problem)) from None


def _to_the_first_failure(tested: list[Tested]) -> list[Tested]:
    for place, one in enumerate(tested):
        if one.status is not Status.OK:
            return tested[: place + 1]
    return tested


def _text(printed: bytes) -> str:
    return printed.decode("utf-8", "surrogateescape")


def _is_numeric(compare: Compare) -> bool:
    return compare.text == "numbers" or compare.float_text


def _normal(text: str, compare: Compare) -> str:
    """A text without what does not count."""
    if compare.text == "exact" and not compare.float_text:
        return text
    if compare.text == "lines" and not compare.float_text:
        return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))
    return " ".join(text.split())


def _same_numbers(actual: str, expected: str, compare: Compare) -> bool:
    """Whether two texts have the same words, numbers as near as they must be."""
    words, wanted = actual.split(" "), expected.split(" ")
    return len(words) == len(wanted) and all(
        word == other or _near(word, other, compare)
        for word, other in zip(words, wanted, strict=True)
    )


def _near(word: str, other: str, compare: Compare) -> bool:
    first, second = number_of(word), number_of(other)
    if first is None or second is None:
        return False
    if word.lstrip("+-").isdecimal() and other.lstrip("+-").isdecimal():
        return int(word) == int(other)
    return near(first, second, compare.atol, compare.rtol)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _last_line(stream: bytes) -> str:
    """The end of what was written, as part of a sentence."""
    last = stream.rstrip().rpartition(b"\n")[2].decode("utf-8", "replace")
    return f": {shortened(last)}" if last else ""
