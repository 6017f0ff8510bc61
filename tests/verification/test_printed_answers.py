"""Deduction answers in the words that Python prints."""

from __future__ import annotations

import pytest

from executor import JudgeTask, SyncExecutor, TaskType

RIGHT = {
    "nan in a list": ("[float('nan'), x]", "[nan, 1]"),
    "infinity": ("{'best': float('inf')}", "{'best': inf}"),
    "the module's name": ("float('inf')", "math.inf"),
    "negative": ("-float('inf')", "-inf"),
    "complex": ("complex(x, float('inf'))", "(1+infj)"),
    "defaultdict": (
        "__import__('collections').defaultdict(list, {x: [2]})",
        "defaultdict(<class 'list'>, {1: [2]})",
    ),
    "Counter": ("__import__('collections').Counter('aab')", "Counter({'a': 2, 'b': 1})"),
    "deque": ("__import__('collections').deque([x], 3)", "deque([1], maxlen=3)"),
}


@pytest.mark.parametrize("what", RIGHT)
def test_the_printed_form_is_right(sandbox: SyncExecutor, what: str) -> None:
    expression, answer = RIGHT[what]
    task = JudgeTask(
        task=TaskType.DEDUCTION, program=f"def f(x):\n    return {expression}", inputs=("1",),
        answers=(answer, "0", f"({answer}, 1)"),
    )  # fmt: skip
    assert sandbox.judge(task).scores == (1.0, 0.0, 0.0)


def test_a_given_output_may_be_in_that_form_too(sandbox: SyncExecutor) -> None:
    task = JudgeTask(
        task=TaskType.DEDUCTION, outputs=("[nan, inf]",),
        answers=("[float('nan'), inf]", "[1, inf]"),
    )  # fmt: skip
    assert sandbox.judge(task).scores == (1.0, 0.0)


def test_a_name_of_the_program_is_not_infinity(sandbox: SyncExecutor) -> None:
    task = JudgeTask(
        task=TaskType.DEDUCTION, program="inf = 10**9\ndef f(x):\n    return float('inf')",
        inputs=("1",), answers=("inf", "float('inf')"),
    )  # fmt: skip
    assert sandbox.judge(task).scores == (0.0, 1.0)
