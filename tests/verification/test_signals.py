"""Signs of cheating: each is seen, counted once for each input or answer, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor import (
    JudgeTask,
    Limits,
    Script,
    Signal,
    Status,
    SyncExecutor,
    TaskType,
    Triplet,
    Verdict,
)
from executor.guest.names import Names
from executor.verification.signals import signals_in_answer
from tests.support.programs import OPEN_RULES, body, triplet

CHEATS = {
    "a forbidden call": (body("import os", "os.fork()"), Signal.FORBIDDEN_CALL),
    "bytes on the channel": (
        body(
            "import os",
            "for number in range(3, 64):",
            "    try: os.write(number, bytes(64))",
            "    except OSError: pass",
            "os._exit(0)",
        ),
        Signal.FORGED_FRAME,
    ),
    "closing the channel": (
        body("import os", "os.closerange(0, 64)", "while True: pass"),
        Signal.FORGED_FRAME,
    ),
    "leaving": (body("import sys", "sys.exit(0)"), Signal.EARLY_EXIT),
    "leaving while loading": ("exit()\ndef f(x):\n    return 1", Signal.EARLY_EXIT),
    "an interrupt": (body("raise KeyboardInterrupt"), Signal.EARLY_EXIT),
    "ending the process": (body("import os", "os._exit(0)"), Signal.EARLY_EXIT),
    "a replaced builtin": (
        body("import builtins", "builtins.len = lambda _: 1", "return x"),
        Signal.TAMPERING,
    ),
    "a removed builtin": (
        body("import builtins", "del builtins.sorted", "return x"),
        Signal.TAMPERING,
    ),
    "a replaced constant": ("import math\nmath.pi = 3\n" + body("return x"), Signal.TAMPERING),
    "a subclass": ("class E(int): pass\n" + body("return E(x)"), Signal.OBJECT_RESULT),
    "an object inside": ("class E: pass\n" + body("return [[E()]]"), Signal.OBJECT_RESULT),
}
HONEST = {
    "a value": body("return x"),
    "an error": body("return 1 / 0"),
    "a generator": body("return (i for i in [x])"),
    "a builtin of its own": "def len(x):\n    return 7\n" + body("return len([x])"),
    "the common modules": "import math, re, json, random, collections\n" + body("return x"),
    "order of a set": body("return sorted({'a', 'b', str(x)})"),
    "a caught exit": body("try:", "    exit()", "except SystemExit:", "    return 2"),
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SyncExecutor]:
    limits = Limits(cpu_s=1, wall_s=30)
    with SyncExecutor(workers=2, rules=OPEN_RULES, limits=limits) as executor:
        yield executor


@pytest.mark.parametrize("what", CHEATS)
def test_cheating_is_seen_once_for_each_input(sandbox: SyncExecutor, what: str) -> None:
    program, signal = CHEATS[what]
    assert sandbox.validate(triplet(program)).signals == {signal: 1}
    assert sandbox.validate(triplet(program, "1", "2", "3")).signals == {signal: 3}


@pytest.mark.parametrize("what", HONEST)
def test_honest_programs_show_nothing(sandbox: SyncExecutor, what: str) -> None:
    assert sandbox.validate(triplet(HONEST[what], "1", "2")).signals == {}


def test_the_programs_of_solvers_are_watched_too(sandbox: SyncExecutor) -> None:
    programs = [program for program, _ in CHEATS.values()]
    task = JudgeTask(
        task=TaskType.INDUCTION,
        inputs=("1", "2"),
        outputs=("5", "6"),
        answers=(*programs, *HONEST.values()),
    )
    expected: dict[Signal, int] = {}
    for _, signal in CHEATS.values():
        expected[signal] = expected.get(signal, 0) + 1
    assert sandbox.judge(task).signals == expected


def test_tampering_changes_no_verdict_and_stays_in_the_cache(sandbox: SyncExecutor) -> None:
    program = body("import builtins", "kept = len", "builtins.len = 1", "builtins.len = kept")
    item = triplet(program + "\n    return x", "7")
    before = sandbox.stats()
    first, second = sandbox.validate(item), sandbox.validate(item)
    after = sandbox.stats()
    assert after.cache_hits == before.cache_hits + 1
    assert first == second
    assert (first.status, first.outputs) == (Status.OK, ("7",))
    assert first.signals == {Signal.TAMPERING: 1}
    assert after.signals[Signal.TAMPERING] == before.signals.get(Signal.TAMPERING, 0) + 2


def test_a_harness_that_lost_its_builtins_still_gives_the_value(sandbox: SyncExecutor) -> None:
    program = body(
        "import builtins",
        "for name in [*vars(builtins)]:",
        "    if name not in ('setattr', 'BaseException'): setattr(builtins, name, None)",
        "return [x, 'text']",
    )
    result = sandbox.validate(triplet(program, "1"))
    assert (result.status, result.outputs) == (Status.OK, ("[1, 'text']",))
    assert result.signals == {Signal.TAMPERING: 1}


ANSWERS: list[tuple[str, set[Signal]]] = [
    ("8", set()),
    ("[1, 'import os', \"__class__\"]", set()),
    ("4 + 4", set()),
    ("2 * (2 + 2) or(8)", set()),
    ("'lambda' + \"(open('x'))\"", set()),
    ("8) or (8", {Signal.INJECTION}),
    ("8') or ('8", {Signal.INJECTION}),
    ("().__class__", {Signal.INJECTION}),
    ("(lambda: 8)()", {Signal.INJECTION, Signal.COMPUTED_ANSWER}),
    ("__import__('os')", {Signal.INJECTION, Signal.COMPUTED_ANSWER}),
    ("eval('8')", {Signal.INJECTION, Signal.COMPUTED_ANSWER}),
    ("sum([4, 4])", {Signal.COMPUTED_ANSWER}),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
def test_answers_that_are_no_plain_values_are_seen(
    sandbox: SyncExecutor, answer: str, expected: set[Signal]
) -> None:
    task: dict[str, Any] = {"program": body("return x"), "inputs": ("8",), "answers": (answer,)}
    deduction = sandbox.judge(JudgeTask(task=TaskType.DEDUCTION, outputs=("8",), **task))
    abduction = sandbox.judge(JudgeTask(task=TaskType.ABDUCTION, outputs=("8",), **task))
    assert set(deduction.signals) == set(abduction.signals) == expected


def test_what_an_answer_does_when_it_is_evaluated_is_seen(sandbox: SyncExecutor) -> None:
    answers = (
        "__import__('os').fork()",
        "__import__('os')._exit(0)",
        "exec('import builtins; builtins.len = 1') or 8",
        "type('E', (int,), {})(8)",
    )
    task = JudgeTask(task=TaskType.DEDUCTION, outputs=("8",), answers=answers)
    judgement = sandbox.judge(task)
    assert judgement.scores == (0.0, 0.0, 1.0, 0.0)
    assert judgement.signals == {
        Signal.FORBIDDEN_CALL: 1,
        Signal.EARLY_EXIT: 1,
        Signal.TAMPERING: 1,
        Signal.OBJECT_RESULT: 1,
        Signal.INJECTION: 3,
        Signal.COMPUTED_ANSWER: 4,
    }


def test_names_of_exceptions_are_no_signs(sandbox: SyncExecutor) -> None:
    answers = (
        "ZeroDivisionError: division by zero",
        "'ZeroDivisionError'",
        "NoError",
        "os.exit(0)",
    )
    task = JudgeTask(
        task=TaskType.ERROR, program=body("return 1 / 0"), inputs=("1",), answers=answers
    )
    assert sandbox.judge(task).signals == {Signal.INJECTION: 1, Signal.COMPUTED_ANSWER: 1}


def test_a_script_that_is_ended_by_the_policy_shows_it(sandbox: SyncExecutor) -> None:
    result = sandbox.run(Script(source="import socket\nsocket.socket(type=socket.SOCK_RAW)"))
    assert (result.status, result.signals) == (Status.FORBIDDEN, {Signal.FORBIDDEN_CALL: 1})
    assert sandbox.run(Script(source="print(1)")).signals == {}


def test_the_uncompiled_core_sees_what_is_not_put_back() -> None:
    namespace: dict[str, object] = {"a": 1, "b": [2]}
    names = Names((namespace,))
    namespace["new"] = 3
    assert not names.changed()
    namespace["b"] = [2]
    assert names.changed()
    del namespace["b"]
    assert names.changed()


def test_json_has_the_key_only_where_there_is_something(sandbox: SyncExecutor) -> None:
    honest = sandbox.validate(triplet(HONEST["a value"]))
    cheat = sandbox.validate(triplet(CHEATS["leaving"][0]))
    assert "signals" not in honest.model_dump_json()
    assert '"signals":{"early_exit":1}' in cheat.model_dump_json()
    for verdict in (honest, cheat):
        assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@given(st.text(max_size=60))
def test_any_text_can_be_searched(text: str) -> None:
    known = {Signal.INJECTION, Signal.COMPUTED_ANSWER}
    assert signals_in_answer(text, literal=True) == frozenset()
    assert signals_in_answer(text, literal=False) <= known
    assert signals_in_answer(repr(text), literal=False) == frozenset()
    assert signals_in_answer(f"f({text!r}", literal=False) == {Signal.COMPUTED_ANSWER}
    assert signals_in_answer(f"{text!r}) or (1", literal=False) == {Signal.INJECTION}
    assert signals_in_answer(f"__import__({text!r})", literal=False) == known


@pytest.mark.parametrize(
    ("part", "signals"),
    [
        ("(", ()),
        ("'", ()),
        ('"\\', ()),
        ("a(", (Signal.COMPUTED_ANSWER,)),
        ("__", (Signal.INJECTION,)),
        ("or(", ()),
        (")", (Signal.INJECTION,)),
        ("'\\'", ()),
    ],
)
def test_long_answers_are_searched_in_no_time(part: str, signals: Sequence[Signal]) -> None:
    """Processor time: what else the machine does takes none of it."""
    started = time.process_time()
    assert signals_in_answer(part * 500_000, literal=False) == set(signals)
    assert time.process_time() - started < 1


def test_an_input_that_cannot_be_read_shows_nothing(sandbox: SyncExecutor) -> None:
    item = Triplet(program=body("return x"), inputs=("1) or (2",))
    assert sandbox.validate(item).signals == {}
