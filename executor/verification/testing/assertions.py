"""``assert``: a program is right if code with assertions runs to its end.

The tests run in one sandbox, the answer in another. What goes from one to the other are arguments,
values, and names and texts of exceptions; all of it is plain, and passes through here. The tests'
process never holds the answer's code, the answer's process never the tests' nor a value that is
expected. See ``executor/guest/test_driver.py`` for how the tests come to know what they ask for.

``together``: both share a process. An answer that looks for it can forge the result there.
"""

from __future__ import annotations

import hashlib
import marshal
import secrets
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from executor.grammar.encode import TooLarge, Unserializable, encode
from executor.libraries.missing import hint_in
from executor.models import JudgeTask, Limits, Signal, Status, Usage
from executor.pool.engine import CallOutcome, Job
from executor.verification.budget import RowEngine, gather_few, off_loop
from executor.verification.prepare import Program, read_program, read_tests
from executor.verification.scoring import (
    Broken,
    Scored,
    Tested,
    failed,
    goes_on,
    malformed,
    summed_up,
)
from executor.verification.signals import signals_of
from executor.verification.source import with_imports
from executor.verification.testing.calls import Caller
from executor.verification.testing.returns import entry_point
from executor.verification.values import FORGED, Value, decoded, value_of
from executor.wire.frames import Call, How, Parsed, named

_ANSWERS_AT_ONCE = 4
_MOST_ROUNDS = 500
"""Times that the tests of one answer are run because they ask for something."""
_MOST_EXCEPTION_NAME = 100
_NAMELESS = "Exception"

_SECRET = secrets.token_bytes()
_OTHERWISE = CallOutcome(
    Status.NONDETERMINISTIC, detail="the tests call the answer otherwise each time they are run"
)

type _Arguments = tuple[tuple[Any, ...], dict[str, Any]]
type _Known = dict[bytes, tuple[Any, ...]]


class Tests(NamedTuple):
    """Compiled tests."""

    code: bytes
    required: frozenset[int]
    """Assertions that are reached if the tests come to their end."""
    entry: str


class _Report(NamedTuple):
    """The report of a run of the tests."""

    kind: str
    passed: int = 0
    failures: Sequence[tuple[int, str]] = ()
    """Place of the assertion among those that were reached, and what was wrong."""
    sites: frozenset[int] = frozenset()
    wanted: Sequence[bytes] = ()
    told: int = 0
    """Calls that the tests had made, in order, before the first that they want."""
    why: str = ""


def read_entry(task: JudgeTask) -> str:
    """The argument of ``check``; tests without one may need none."""
    return entry_point(task) if task.entry_point else ""


def read_compiled(task: JudgeTask, parsed: Parsed) -> Tests:
    """The tests as the parser has them. Raises :class:`Broken`."""
    read = read_tests(parsed)
    if isinstance(read, CallOutcome):
        raise Broken(read)
    code, required, calls_check = read
    entry = read_entry(task)
    if calls_check and not entry:
        raise malformed("the tests define check(candidate), and there is no entry_point")
    return Tests(code, required, entry)


class Assertions:
    """Scores answers by the tests of one task."""

    def __init__(self, engine: RowEngine, limits: Limits, task: JudgeTask, tests: Tests) -> None:
        self._engine = engine
        self._limits = limits
        self._task = task
        self._tests = tests
        self._go_on = goes_on(task)
        self._first: _Report | None = None
        self._seed = _seed(task)
        self._variant = zlib.crc32((task.tests or "").encode("utf-8", "surrogatepass")) & 1
        """Which guests run the tests: half of the tests each of the two kinds, always the same."""

    async def prepare(self) -> Usage:
        """Find out what the tests want to know first. Raises :class:`Broken`."""
        if self._task.together:
            return Usage()
        report, usage = await self._run(self._engine.fresh(), {})
        if isinstance(report, CallOutcome):
            if report.status is Status.INFRA:
                raise Broken(report)
            raise malformed(f"the tests do not come to a call of the answer: {report.detail}")
        if report.kind == "unsuitable":
            raise malformed(f"{report.why}: that needs together")
        if report.kind == "failed":
            why = report.failures[0][1]
            raise malformed(f"the tests fail by themselves: {why}{hint_in(why)}")
        if report.kind == "passed":
            raise malformed("the tests do not call the answer")
        self._first = report
        return usage

    async def score(
        self, answers: Sequence[str], parsed: Sequence[Parsed]
    ) -> tuple[list[Scored], Usage]:
        """The scores of some answers, as the parser has them."""
        one = self._together if self._task.together else self._apart
        pairs = zip(answers, parsed, strict=True)
        results = await gather_few(
            [partial(one, *pair) for pair in pairs], at_once=_ANSWERS_AT_ONCE
        )
        return [scored for scored, _ in results], sum((used for _, used in results), Usage())

    # ---- in different sandboxes ----------------------------------------------------------------

    async def _apart(self, _text: str, parsed: Parsed) -> tuple[Scored, Usage]:
        program = read_program(parsed)
        if isinstance(program, CallOutcome):
            return failed(program), Usage()
        trial = _Trial(self._engine.fresh(), self._limits, program, to_the_end=self._go_on)
        assert self._first is not None
        report: _Report | CallOutcome = self._first
        usage = Usage()
        for _ in range(_MOST_ROUNDS):
            if isinstance(report, CallOutcome) or report.kind != "wanted":
                break
            told = report.told
            ended = await trial.ask(report.wanted)
            if ended is not None:
                report = ended
                break
            report, used = await self._run(trial.engine, trial.known)
            usage += used
            if isinstance(report, _Report) and report.kind == "wanted" and report.told <= told:
                report = _OTHERWISE  # it knew one call more, and came no further
        return self._scored(report, trial.signals), usage + trial.usage

    async def _run(
        self,
        engine: RowEngine,
        known: _Known,
    ) -> tuple[_Report | CallOutcome, Usage]:
        """Run the tests with what is known; what they cannot do yet is left out at first."""
        total = Usage()
        for loose in (True, False):
            arguments = self._arguments(known, None, loose=loose)
            report, usage = await self._run_once(engine, arguments)
            total += usage
            if not isinstance(report, CallOutcome):
                return report, total
        return report, total

    def _arguments(self, known: _Known, answer: str | None, *, loose: bool) -> _Arguments:
        """Of the driver's ``f``."""
        room = self._limits.output_kib << 9  # half of what a run may say
        how = {"loose": loose, "go_on": self._go_on, "seed": self._seed, "room": room}
        return (known, self._tests.entry, answer), how

    async def _run_once(
        self, engine: RowEngine, arguments: _Arguments
    ) -> tuple[_Report | CallOutcome, Usage]:
        try:
            call = _call_with(arguments)
        except (Unserializable, TooLarge, ValueError) as problem:
            detail = f"what the tests want to know is too large: {problem}"
            return CallOutcome(Status.ROW_LIMIT, detail=detail), Usage()
        # Of one variant: what hashing orders is in the same order in each run.
        job = Job(self._tests.code, [call], imports=True, variant=self._variant)
        ((run,),) = await engine.run([job])
        outcome = run.outcome
        value = await off_loop(outcome.size, value_of, outcome)
        report = _read_report(value) if isinstance(value, Value) else value
        return report, run.used.usage()

    def _scored(self, report: _Report | CallOutcome, signals: frozenset[Signal]) -> Scored:
        if isinstance(report, CallOutcome):
            if report.status is Status.INFRA:
                return failed(report)
            return failed(report)._replace(signals=signals)
        if report.kind == "unsuitable":
            return Scored(0.0, Status.UNSERIALIZABLE, f"{report.why}: that needs together", signals)
        if report.kind == "wanted":
            detail = f"more than {_MOST_ROUNDS} calls of the tests depend on each other's results"
            return Scored(0.0, Status.ROW_LIMIT, detail, signals)
        tested = _cases(report)
        if not report.failures and not (report.passed and self._tests.required <= report.sites):
            tested.append(Tested(Status.MISMATCH, "not every assertion was reached"))
        return summed_up(self._task, tested, len(tested), signals, "assertions")

    # ---- in one ---------------------------------------------------------------------------------

    async def _together(self, text: str, parsed: Parsed) -> tuple[Scored, Usage]:
        program = read_program(parsed)
        if isinstance(program, CallOutcome):
            return failed(program), Usage()
        source = with_imports(text, self._task.imports)
        arguments = self._arguments({}, source, loose=False)
        report, usage = await self._run_once(self._engine.fresh(), arguments)
        signals = signals_of(report)
        return self._scored(report, signals), usage


class _Trial:
    """One answer, and what it has said so far."""

    def __init__(
        self, engine: RowEngine, limits: Limits, program: Program, *, to_the_end: bool
    ) -> None:
        self.engine = engine
        self.known: _Known = {}
        self.signals: frozenset[Signal] = frozenset()
        self._caller = Caller(engine, program)
        self._most = limits.row_texts
        self._to_the_end = to_the_end

    @property
    def usage(self) -> Usage:
        """Of the answer's calls."""
        return self._caller.used.usage()

    async def ask(self, wanted: Sequence[bytes]) -> CallOutcome | None:
        """Ask the answer; an outcome if that ends the matter."""
        new = [key for key in wanted if key not in self.known]
        if len(new) + len(self.known) > self._most:
            detail = f"the tests call the answer more than {self._most} times (limits.row_texts)"
            return CallOutcome(Status.ROW_LIMIT, detail=detail)
        calls = [_wanted_call(key) for key in new]
        sound = [call for call in calls if call is not None]
        if len(sound) != len(calls) or not new:
            return FORGED
        ends: dict[int, CallOutcome] = {}

        async def assess(number: int, outcome: CallOutcome) -> Tested:
            value = await off_loop(outcome.size, value_of, outcome)
            self.signals |= signals_of(outcome, value)
            known, end = _learnt(outcome, value)
            if end is not None:
                ends[number] = end
                known = ("end", f"{end.status}: {end.detail}")
            self.known[new[number]] = known
            return Tested(end.status if end is not None else Status.OK)

        await self._caller.assess(sound, assess, to_the_end=self._to_the_end)
        return next((end for end in ends.values() if end.status is Status.INFRA), None)


def _learnt(
    outcome: CallOutcome, value: Value | CallOutcome
) -> tuple[tuple[Any, ...], CallOutcome | None]:
    """A call's result as the tests see it; an outcome if it had no end that they can see."""
    if isinstance(value, Value):
        found = value.decoded
        if type(found) is tuple and len(found) == 3 and type(found[1]) is tuple:
            result, args, kwargs = found
            if type(kwargs) is dict:
                return ("value", result, args, kwargs), None
        return (), FORGED
    name = value.error_type
    if value.status is Status.ERROR and Signal.EARLY_EXIT not in value.signals:
        proper = name.isidentifier() and len(name) <= _MOST_EXCEPTION_NAME
        return ("error", name if proper else _NAMELESS, value.error_text), None
    return (), value


def _wanted_call(key: bytes) -> Call | None:
    """The call that the tests ask for; their word is the task's, and yet it is checked."""
    value = decoded(key)
    if not isinstance(value, Value):
        return None
    found = value.decoded
    if type(found) is not tuple or len(found) != 3:
        return None
    path, args, kwargs = found
    if type(path) is not str or type(args) is not tuple or type(kwargs) is not dict:
        return None
    if not all(part.isidentifier() for part in path.split(".")):
        return None
    return named(path, _call_with((args, kwargs)), mutates=True)


def _call_with(arguments: _Arguments) -> Call:
    try:
        return Call(How.VALUES, marshal.dumps(arguments, 2))
    except ValueError:  # a value of a type that marshal does not know
        return Call(How.ENCODED, encode(arguments))


def _read_report(value: Value) -> _Report | CallOutcome:
    found: Any = value.decoded
    try:
        kind, *facts = found
        if kind == "wanted" and all(type(key) is bytes for key in facts[0]):
            return _Report(kind, wanted=facts[0], told=int(facts[1]))
        if kind == "unsuitable" and type(facts[0]) is str:
            return _Report(kind, why=_printable(facts[0]))
        passed, failures, sites = facts
        if kind in ("passed", "failed") and type(passed) is int and passed >= 0:
            pairs = [(int(place), _printable(str(text))) for place, text in failures]
            return _Report(kind, passed, pairs, frozenset(map(int, sites)))
    except (TypeError, ValueError, IndexError):
        pass
    return FORGED


def _printable(text: str) -> str:
    """A text that can be sent as JSON: an answer's may hold halves of characters."""
    return text.encode("utf-8", "backslashreplace").decode()


def _seed(task: JudgeTask) -> int:
    """The seed of generators of chance in the tests: the same for all answers that this process
    judges by them, and known to none."""
    text = f"{task.entry_point}\n{task.tests}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, key=_SECRET, digest_size=4).digest())


def _cases(report: _Report) -> list[Tested]:
    """The assertions that were reached, in their order."""
    places = dict(report.failures)
    total = report.passed + len(places)
    if not all(0 <= place < total for place in places):
        return [Tested(Status.CRASHED, "the report of the tests contradicts itself")]
    return [
        _case(places[place]) if place in places else Tested(Status.OK) for place in range(total)
    ]


def _case(text: str) -> Tested:
    """An assertion that failed."""
    return Tested(_status(text), text + hint_in(text))


def _status(text: str) -> Status:
    """Of a failure: of an ended call its own, of an assertion that it does not hold."""
    head = text.partition(":")[0]
    if head in _ENDS:
        return Status(head)
    return Status.MISMATCH if ": AssertionError" in text else Status.ERROR


_ENDS = frozenset(Status) - {Status.OK, Status.ERROR, Status.MISMATCH}
