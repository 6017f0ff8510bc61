"""One row never harms another: what a row may take of parsers, of memory and of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from benchmarks.rows import ROWS, Holds, measure, opened, outcome_of, peak_mib, reset_peak
from executor import Executor, JudgeTask, Limits, Options, Status, SyncExecutor, TaskType, Triplet
from executor.backends.base import BaseBackend, Pace
from executor.client.batches import Batches
from executor.client.bodies import VALIDATE
from executor.client.faults import Fault
from executor.client.settings import Retries
from executor.grammar.compare import TOO_LONG, TooCostly, equal, first_difference
from executor.grammar.decode import Unsuitable, decode
from executor.grammar.encode import encode
from executor.guest import parser
from executor.pool.engine import CallOutcome, Job, Run, Used
from executor.pool.parse_cache import ParseCache
from executor.pool.worker import GuestRequest, OutOfTime, Replies, Worker
from executor.screening.cost import code_limit, strains_compiler, strains_tokenizer
from executor.screening.rules import RuleSet, check_text
from executor.verification.budget import RowEngine, gather_few
from executor.verification.prepare import Program
from executor.verification.validation import Validator
from executor.verification.values import Value, decoded
from executor.wire.frames import Call, How, Parsed
from tests.support.programs import OPEN_RULES, body, triplet

pytestmark = pytest.mark.long

PROGRAM = "def f(x):\n    return x"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SyncExecutor]:
    with SyncExecutor(workers=1, rules=OPEN_RULES, cache=False) as executor:
        yield executor


# ---- whole rows ----------------------------------------------------------------------------------

OUTCOMES = {
    "66,000 inputs": "malformed",
    "66,000 answers": "malformed x 66000",
    "1,000 pairs": "mismatch x 1, ok x 1",
    "sets, 8 answers": "mismatch x 8",
    "sets, 8 inputs": "row_limit",
    "zeros in text": "row_limit",
    "deep ints": "nondeterministic",
    "folded constants": "malformed x 1",
    "nested finally": "screened x 6",
    "40,000 keywords": "malformed x 1",
    "a pattern of 5,000 names": "screened x 1",
    "an f-string of 100,000 fields": "malformed x 1",
    "lambda lambda lambda": "syntax_error",
    "open quotes": "malformed x 1",
}


@pytest.mark.parametrize("name", OUTCOMES)
async def test_a_hostile_row_has_an_outcome_of_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine any guest is slow; those that answer late must not be told from dead ones.
    monkeypatch.setattr(BaseBackend, "pace", Pace(slow_s=5.0))
    async with opened() as executor:
        await executor.validate(triplet(PROGRAM, "0"))
        reset_peak()
        before_mib = peak_mib()  # the tests' process holds much else
        found = await measure(executor, name, ROWS[name]())
        assert found.outcome == OUTCOMES[name]
        assert found.peak_mib - before_mib < 200
        if not name.startswith("sets"):  # runs so slow that others in the guest's pipe move away
            assert executor.stats().pool.restarts == 0
        assert (await executor.validate(triplet(PROGRAM, "1"))).outputs == ("1",)


async def test_answers_that_are_scored_without_waiting_let_others_in() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with opened() as executor:
        beside = asyncio.create_task(other())
        await asyncio.sleep(0)
        judgement = await executor.judge(cast(JudgeTask, ROWS["9,000 answers"]()))
        beside.cancel()
    assert sum(score or 0 for score in judgement.scores) == 1
    assert turns >= 9_000 // 64


def test_an_answer_over_its_budget_takes_nothing_from_the_others(sandbox: SyncExecutor) -> None:
    slow = body("import time", "time.sleep(0.4)", "return x")
    inputs = tuple(map(str, range(20)))
    task = JudgeTask(
        task=TaskType.INDUCTION, inputs=inputs, outputs=inputs, answers=(slow, PROGRAM)
    )
    options = Options(limits=Limits(row_s=0.5))
    judgement = sandbox.judge(task, options=options)
    assert judgement.statuses == (Status.ROW_LIMIT, Status.OK)
    assert "limits.row_s" in judgement.details[0]


def test_a_row_whose_outputs_are_too_large_is_over_its_limit(sandbox: SyncExecutor) -> None:
    program = body("return 'a' * 400_000 + str(x)")
    small = Options(limits=Limits(row_mib=1))
    verdict = sandbox.validate(triplet(program, "1", "2", "3"), options=small)
    assert verdict.status is Status.ROW_LIMIT
    assert "limits.row_mib" in verdict.detail
    assert [output is None for output in verdict.outputs] == [False, False, True]
    assert sandbox.validate(triplet(program, "1", "2"), options=small).valid


def test_a_row_with_too_many_texts_says_how_many_there_may_be(sandbox: SyncExecutor) -> None:
    few = Options(limits=Limits(row_texts=3))
    verdict = sandbox.validate(triplet(PROGRAM, *"1234"), options=few)
    assert verdict.status is Status.MALFORMED
    assert "4 inputs" in verdict.detail
    assert "limits.row_texts" in verdict.detail
    assert sandbox.validate(triplet(PROGRAM, *"123"), options=few).valid
    task = JudgeTask(task=TaskType.DEDUCTION, outputs=("1",), answers=tuple("1234"))
    assert sandbox.judge(task, options=few).statuses == (Status.MALFORMED,) * 4


async def test_the_measure_of_holds_sees_one() -> None:
    async with Holds() as holds:
        await asyncio.sleep(0.02)
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
    assert holds.longest_s > 0.05


# ---- runs ----------------------------------------------------------------------------------------


class FakeEngine:
    """Answers each call with its own data."""

    def __init__(self, wall_us: int = 0, value: Callable[[Call], bytes] | None = None) -> None:
        self.calls: list[int] = []
        self._wall_us = wall_us
        self._value = value or (lambda call: call.data)

    async def parse(self, items: Sequence[Any]) -> list[Parsed]:
        self.calls.append(len(items))
        return [Parsed("literal", [], [item[1].encode()]) for item in items]

    async def run(self, jobs: Sequence[Job], limits: Limits) -> list[list[Run]]:
        self.calls += [len(job.calls) for job in jobs]
        return [[self._run(call) for call in job.calls] for job in jobs]

    def _run(self, call: Call) -> Run:
        return Run(CallOutcome(Status.OK, self._value(call)), Used(wall_us=self._wall_us))


def job_of(*data: bytes) -> Job:
    return Program(b"", imports=False).job([Call(How.VALUES, each) for each in data])


async def test_many_calls_are_made_some_at_a_time_and_come_back_in_order() -> None:
    fake = FakeEngine()
    data = [str(number).encode() for number in range(70_000)]
    (runs,) = await RowEngine(fake, Limits()).run([job_of(*data)])
    assert [run.outcome.value for run in runs] == data
    assert max(fake.calls) == 8


async def test_runs_of_a_row_end_when_its_time_is_used_up() -> None:
    engine = RowEngine(FakeEngine(wall_us=400_000), Limits(row_s=1))
    seen = []
    for _ in range(5):
        ((run,),) = await engine.run([job_of(b"N")])
        seen.append(run.outcome.status)
    assert seen == [Status.OK] * 3 + [Status.ROW_LIMIT] * 2
    ((again,),) = await engine.fresh().run([job_of(b"N")])
    assert again.outcome.status is Status.OK


async def test_calls_of_different_parties_have_budgets_of_their_own() -> None:
    fake = FakeEngine(wall_us=400_000, value=lambda call: call.data * (3 << 20))
    engine = RowEngine(fake, Limits(row_s=1, row_mib=1))
    runs = await engine.run_apart(job_of(*(b"%d" % number for number in range(8))))
    assert {run.outcome.status for run in runs} == {Status.OK}
    (run,) = await RowEngine(fake, Limits(row_mib=1)).run_apart(job_of(b"ab"))
    assert run.outcome.status is Status.ROW_LIMIT


async def test_equal_values_of_a_row_count_once() -> None:
    engine = RowEngine(FakeEngine(value=lambda call: call.data * (3 << 20)), Limits(row_mib=1))
    seen = []
    for data in (b"a", b"a", b"a", b"b"):
        ((run,),) = await engine.run([job_of(data)])
        seen.append(run.outcome.status)
    assert seen == [Status.OK] * 3 + [Status.ROW_LIMIT]


async def test_texts_of_a_row_are_parsed_some_at_a_time_up_to_a_budget() -> None:
    fake = FakeEngine()
    engine = RowEngine(fake, Limits(row_mib=1))
    parsed = await engine.parse([("value", "a" * 30_000, None)] * 400)
    assert max(fake.calls) == 64
    outcomes = [one.outcome for one in parsed]
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {"literal", "row_limit"}


async def test_few_are_gathered_at_a_time() -> None:
    running: set[int] = set()

    async def work(number: int) -> int:
        running.add(number)
        assert len(running) <= 3
        await asyncio.sleep(0)
        running.discard(number)
        return number

    makers = [lambda number=number: work(number) for number in range(20)]
    assert await gather_few(makers, at_once=3) == list(range(20))


# ---- values --------------------------------------------------------------------------------------


def nested(value: object, levels: int = 97) -> object:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("leaf", [0, "a", Decimal(1), (), {}, set(), 1.5])
def test_the_first_difference_is_found_in_one_descent(leaf: object) -> None:
    first, second = nested([leaf] * 20_000 + [1]), nested([leaf] * 20_000 + [2])
    path = "[0]" * 97 + "[20000]"
    assert first_difference(first, second, max_steps=90_000) == f"at {path}: 1 against 2"
    assert not equal(first, second, max_steps=90_000)


def test_what_is_dear_to_compare_is_paid_for() -> None:
    dear = [Decimal("1E+10000")] * 900
    wide = [10**10000] * 900
    with pytest.raises(TooCostly):
        equal(dear, wide)
    assert first_difference(dear, wide) == TOO_LONG
    assert equal(dear[:100], wide[:100])
    assert not equal(dear[:100], [*wide[:99], 1])
    assert equal({Decimal("1E+10000")}, {10**10000})
    assert not equal([Decimal("1E+499")], [1 << 4_000_000])


@pytest.mark.parametrize(
    "program",
    ["return {n, float('nan') * 1}", "return {n: 1, float('nan') * 1: 2}",
     "return {(1, n), (1, n * 1)}"],
)  # fmt: skip
def test_two_nans_in_a_set_are_no_plain_value_and_no_sign_of_cheating(
    sandbox: SyncExecutor, program: str
) -> None:
    program = f"def f(n):\n    {program}"
    verdict = sandbox.validate(triplet(program, "float('nan')"))
    assert (verdict.status, verdict.signals) == (Status.UNSERIALIZABLE, {})
    assert "more than one NaN" in verdict.detail
    assert sandbox.validate(triplet("def f(n):\n    return {n, 1}", "float('nan')")).valid


def test_members_with_one_hash_are_bounded_whatever_they_hold() -> None:
    prime = (1 << 61) - 1
    alike = [1 + number * prime for number in range(200)]
    inner = [frozenset(alike[:at] + alike[at + 1 :]) for at in range(0, 200, 2)]
    started = time.process_time()
    with pytest.raises(Unsuitable, match="one hash"):
        decode(b"<" + (100).to_bytes(4, "little") + b"".join(encode(member) for member in inner))
    assert time.process_time() - started < 5
    outcome = decoded(b"<" + (2).to_bytes(4, "little") + 2 * encode(1))
    assert isinstance(outcome, CallOutcome)
    assert outcome.signals


def test_honest_members_with_one_hash_are_read() -> None:
    grid = {(x, y, z, w) for x in range(-2, 3) for y in range(-2, 3) for z in range(-2, 3)
            for w in range(-2, 3)}  # fmt: skip
    value = [grid, {frozenset({-1}), frozenset({-2})}]
    assert decode(encode(value)) == value


def test_a_large_value_is_kept_as_bytes() -> None:
    value = Value(encode([set() for _ in range(1000)]))
    assert value.memory < 3 * len(value.data)
    assert value.decoded is not value.decoded
    small = Value(encode([1, 2]))
    assert small.decoded is small.decoded


# ---- parsers -------------------------------------------------------------------------------------

GROWING: dict[str, Callable[[int], str]] = {
    "open quotes": lambda n: "[[" * 40 + "]]" * 40 + "," + "\\'''\n" * (n // 5),
    "quotes that a backslash ends": lambda n: "[" * 200 + 'x = """' + '\\"""' * (n // 4) + "\\",
    "lambda": lambda n: "lambda " * (n // 7),
    "lambda and signs": lambda n: "lambda a=" * (n // 18) + "-~" * (n // 4),
    "not": lambda n: "not a " * (n // 6),
    "blanks": lambda n: "[" * 200 + " " * n,
    "comments": lambda n: "((" * 99 + "#(\n" * (n // 3),
    "import": lambda n: "import " * (n // 7),
}


@pytest.mark.parametrize("name", GROWING)
def test_texts_are_looked_through_in_linear_time(name: str) -> None:
    """Of those that nothing is parsed of, so that only this is measured."""
    from executor.grammar.literals import _nesting
    from executor.verification.source import with_imports

    def cost(size: int) -> float:
        text = GROWING[name](size)
        started = time.process_time()
        _nesting(text)
        check_text(text, RuleSet(max_source_bytes=1 << 20))
        strains_tokenizer("f'" + text.replace("'", "{"))
        with_imports("__future__" + text, ["import a"])
        return time.process_time() - started

    cost(10_000)
    assert cost(400_000) < 3.0  # a quadratic one takes a minute


REFUSED = {
    "constants": "[" + ",".join(f"'{n}'*800" for n in range(10_000, 12_000)) + "]",
    "tuples": "(" + ",".join(f"(1,{n})*120" for n in range(4000)) + ")",
    "keywords": "f(" + ",".join(f"a{n}=1" for n in range(3000)) + ")",
    "class keywords": "class A(" + ",".join(f"a{n}=1" for n in range(3000)) + "): pass",
    "patterns": "match x:\n case [" + ",".join(f"a{n}" for n in range(900)) + "]: pass",
    "finally": "\n".join(
        " " * level + "try: a\n" + " " * level + "finally:" for level in range(16)
    ) + "\n" + " " * 16 + "a",
    "comprehensions": "[" * 21 + "1" + " for x in y]" * 21,
    "conditions": "[1 for x in y if " * 21 + "z" + "]" * 21,
    "in blocks": "".join(" " * n + "with x:\n" for n in range(20)) + " " * 20 + "[x for x in y]",
    "ways out": "def f():\n try:\n" + "  if a: return\n" * 300 + " finally:\n" + "  a\n" * 300,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_grows_when_it_is_compiled_is_refused_before(name: str) -> None:
    assert strains_compiler(REFUSED[name])


@pytest.mark.parametrize(
    "text",
    ["\n".join(f"a{n} = '-' * 70" for n in range(300)),
     "\n".join(f"a{n} = x * 4096 * 2 * 'a'" for n in range(500)),
     "\n".join(f"f(a={n}, b=2, c=3)" for n in range(3000)),
     "f(" + ",".join(f"a{n}=1" for n in range(500)) + ")",
     "def f():\n try:\n" + "  if a: return 1\n" * 50 + " finally:\n  g()\n",
     "try:\n try: a\n finally: b\nfinally:\n try: c\n finally: d",
     "match x:\n" + "".join(f" case [a, {n}, b]: pass\n" for n in range(300)),
     "\n".join(f"def f{n}():\n try: a\n finally: b" for n in range(300)),
     "[" * 20 + "1" + " for x in y]" * 20,
     "[x for x in " * 30 + "y" + "]" * 30,
     "[" + "[x for x in y]," * 300 + "]",
     "[" + "lambda: [" * 20 + "1" + " for x in y]" * 20 + "]"],
    ids=range(12),
)  # fmt: skip
def test_what_honest_programs_hold_is_compiled(text: str) -> None:
    assert not strains_tokenizer(text)
    assert not strains_compiler(text)
    assert len(parser._compile(f"({text!r})", "<answer>")) <= code_limit(text)


def test_code_that_is_too_large_is_refused_after_it_was_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parser, "strains_compiler", lambda _: "")
    constants = "[" + ",".join(f"'{n}'*800" for n in range(10_000, 10_100)) + ", a]"
    (outcome, detail, *_), blobs = parser.answer(("value", constants, None))
    assert (outcome, blobs) == ("malformed", [])
    assert "compiles to" in str(detail)
    (outcome, *_), _ = parser.answer(("program", f"def f(x): return {constants}", None))
    assert outcome == "screened"


def test_a_request_that_takes_long_is_answered_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "_REQUEST_S", 0.0)
    reply = parser.reply([("value", "1", None)] * 3)
    head = json.loads(reply[4 : 4 + int.from_bytes(reply[:4], "little")])
    assert [entry[0] for entry in head] == ["literal", "later", "later"]


def test_each_text_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[float] = []
    monkeypatch.setattr(parser, "setitimer", lambda _, seconds: set_to.append(seconds))
    parser.reply([("value", "1", None)] * 3)
    assert set_to == [3.0, 3.0, 3.0, 0]


def test_a_name_of_too_many_combining_characters_is_not_parsed() -> None:
    assert strains_tokenizer("a" + "\u0301\u0323" * 3000)
    assert not strains_tokenizer("a" + "\u0301\u0323" * 300)
    assert not strains_tokenizer("\u00e9\u0301" * 3000)
    assert not strains_tokenizer("'" + "\u6f22" * 60_000 + "'")


def test_a_text_with_too_many_fields_is_not_parsed() -> None:
    assert strains_tokenizer("f'" + "{a}" * 100_000 + "'")
    assert strains_tokenizer("''rF'" + "{a}" * 100_000 + "'")
    assert not strains_tokenizer("[" + "{'f': 1}," * 40_000 + "]")
    assert not strains_tokenizer("f'" + "{a}" * 10_000 + "'")


def test_a_parser_has_a_limit_of_memory(sandbox: SyncExecutor) -> None:
    assert sandbox.validate(triplet(PROGRAM, "1")).valid
    parsers = [
        child
        for child in psutil.Process().children(recursive=True)
        if "/guest/executor/guest/main.py" in child.cmdline() and "parser" in child.cmdline()
    ]
    assert parsers
    for process in parsers:
        soft, hard = process.rlimit(psutil.RLIMIT_AS)
        assert soft == hard
        assert 512 << 20 < hard < 1 << 30


def test_all_of_a_large_row_is_parsed_all_the_same(sandbox: SyncExecutor) -> None:
    answers = tuple(f"[{'a, ' * 20_000}] + [{number}]" for number in range(12))
    task = JudgeTask(task=TaskType.DEDUCTION, outputs=("1",), answers=answers)
    assert sandbox.judge(task).statuses == (Status.ERROR,) * 12


@pytest.mark.parametrize(("age_s", "late"), [(5.0, True), (0.1, False)])
async def test_a_text_that_ran_out_of_time_is_tried_once(age_s: float, late: bool) -> None:
    replies = Replies(1, asyncio.get_running_loop().create_future())
    request = GuestRequest(deque([b"frame"]), replies, 10.0, once_if_slow_s=2.9)
    stub = SimpleNamespace(in_flight=[request], _sent=5, head_age=lambda _: age_s)
    Worker.blame(cast(Worker, stub))
    assert request.done is late
    if late:
        with pytest.raises(OutOfTime):
            replies.future.result()


async def test_one_large_program_does_not_push_out_the_others() -> None:
    async def ask(items: Sequence[Any]) -> list[Parsed]:
        return [Parsed("ok", [[], False], [item[1].encode()]) for item in items]

    front = ParseCache(ask, max_bytes=100_000)
    await front.parse([("program", "small", None)])
    await front.parse([("program", "a" * 50_000, None)])
    assert ("small" in front._programs, len(front._programs)) == (True, 1)


# ---- batches -------------------------------------------------------------------------------------


async def test_an_exception_in_one_row_is_that_rows_infra(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Validator.validate

    async def validate(self: Validator, triplet: Triplet, index: int) -> Any:
        if triplet.id == "poison":
            raise OverflowError("int too big to convert")
        return await honest(self, triplet, index)

    monkeypatch.setattr(Validator, "validate", validate)
    rows = [Triplet(program=PROGRAM, inputs=("1",), id=name) for name in ("a", "poison", "b")]
    async with Executor(workers=1) as executor:
        verdicts = [verdict async for verdict in executor.validate_many(rows)]
        judged = [
            judgement
            async for judgement in executor.judge_many(
                [JudgeTask(task=TaskType.DEDUCTION, outputs=("1",), answers=("1",))]
            )
        ]
    assert [verdict.status for verdict in verdicts] == [Status.OK, Status.INFRA, Status.OK]
    assert verdicts[1].id == "poison"
    assert "OverflowError" in verdicts[1].detail
    assert judged[0].scores == (1.0,)


class FakeFleet:
    """A service that ends the connection when it meets a poisoned item."""

    url = "http://fake"

    def __init__(self) -> None:
        self.requests = 0

    @contextlib.asynccontextmanager
    async def endpoint(self, *_: Any) -> AsyncIterator[FakeFleet]:
        yield self

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(0)

    async def post_streamed(self, path: str, body: bytes, take: Callable[[bytes], None]) -> None:
        self.requests += 1
        if b"poison" in body:
            raise Fault("the connection was cut", started=True)
        lines = body.splitlines()
        for index in range(len(lines)):
            verdict = {"index": index, "status": "ok", "valid": True, "detail": ""}
            take(json.dumps(verdict).encode() + b"\n")
        take(b'{"end": true}\n')


async def test_a_client_finds_the_item_that_ends_connections() -> None:
    fleet = FakeFleet()
    batches = Batches(cast(Any, fleet), VALIDATE, b"", Retries(), window=256, ordered=True)
    items = [triplet("poison" if number == 37 else PROGRAM, "1") for number in range(150)]
    statuses = [verdict.status async for verdict in batches.results(items)]
    assert [number for number, status in enumerate(statuses) if status is Status.INFRA] == [37]
    assert fleet.requests < 50


async def test_a_row_that_holds_the_loop_would_be_seen() -> None:
    """The measure of the benchmark, on an honest row."""
    async with Executor(workers=1) as executor:
        async with Holds() as holds:
            assert await outcome_of(executor, triplet(PROGRAM, "1")) == "ok"
        assert holds.longest_s < 1
