"""Whatever is callable as ``f`` is judged by what it does."""

from __future__ import annotations

import pytest

from executor import Executor, JudgeTask, Options, Rules, Status, SyncExecutor, TaskType, Triplet
from tests.support.programs import triplet

SQUARES = {
    "another name": "def square(x):\n    return x * x\nf = square",
    "a bound method": "class S:\n    def square(self, x): return x * x\nf = S().square",
    "a static method": "class A:\n    @staticmethod\n    def g(x): return x * x\nf = A.g",
    "an instance": "class A:\n    def __call__(self, x): return x * x\nf = A()",
    "a class": "class f:\n    def __new__(cls, x): return x * x",
    "partial": "from functools import partial\ndef g(n, x): return x ** n\nf = partial(g, 2)",
    "a library's": "from operator import mul\nf = lambda x: mul(x, x)",
    "a decorated function": (
        "def twice(g):\n    return lambda x: g(g(x))\n"
        "@twice\ndef f(x): return x if x > 3 else x * 3"
    ),
    "one of several": "f, g = (lambda x: x * x), len",
    "a closure": "def make(n):\n    def g(x): return x ** n\n    return g\nf = make(2)",
    "a method of a value": "f = {3: 9, 4: 16}.get",
    "under a condition": "if True:\n    g = lambda x: x * x\n    f = g",
    "by globals": "globals()['f'] = lambda x: x * x",
}


@pytest.mark.parametrize("what", SQUARES)
def test_an_answer_is_right_if_it_does_the_right_thing(sandbox: SyncExecutor, what: str) -> None:
    task = JudgeTask(
        task=TaskType.INDUCTION, inputs=("3", "4"), outputs=("9", "16"), answers=(SQUARES[what],)
    )  # fmt: skip
    judged = sandbox.judge(task)
    if what == "a decorated function":
        assert judged.details == ("1 of 2 hidden pairs are right; first wrong one: got 4",)
        return
    assert judged.scores == (1.0,), judged.details


@pytest.mark.parametrize("what", SQUARES)
def test_a_proposal_is_valid_by_the_default_rules(sandbox: SyncExecutor, what: str) -> None:
    row = Triplet(program=SQUARES[what], inputs=("3",))
    result = sandbox.validate(row, options=Options(rules=Rules()))
    assert (result.status, result.outputs) == (Status.OK, ("9",)), result.detail


WRONG = {
    "no function": ("f = [1, 2]", Status.SCREENED),
    "a number that is computed": ("f = len('ab')", Status.ERROR),
    "an instance": ("class A: pass\nf = A()", Status.ERROR),
    "a class": ("class f:\n    def __init__(self, x): pass", Status.UNSERIALIZABLE),
    "a coroutine by another name": ("async def g(x): return x\nf = g", Status.UNSERIALIZABLE),
    "too few arguments": ("def g(): return 9\nf = g", Status.ERROR),
    "never bound": ("globals()", Status.ERROR),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_something_else_is_told_so(sandbox: SyncExecutor, what: str) -> None:
    program, status = WRONG[what]
    result = sandbox.validate(triplet(program, "3"))
    assert result.status is status, result.detail


async def test_a_function_of_the_library_is_called_with_each_input() -> None:
    async with Executor(workers=1) as executor:
        rows = Triplet(program="from copy import deepcopy as f", inputs=("[1]", "[2]"))
        result = await executor.validate(rows, options=Options(rules=Rules(banned_modules=())))
    assert result.outputs == ("[1]", "[2]")
