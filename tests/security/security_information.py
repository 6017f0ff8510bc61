"""Category F: finding out what is not for the program to know."""

from __future__ import annotations

from security_cases import Case, judge, scores

from executor import JudgeTask, Status, TaskType

CASES: tuple[Case, ...] = (
    judge("F", 108, "answer-in-the-environment", "Looks for the expected value where it runs.",
        JudgeTask(
            task=TaskType.DEDUCTION, program="def f(x):\n    return x + 1", inputs=("1",),
            outputs=("2",),
            answers=("__import__('os').environ.get('ANSWER', 0)",),
        ), Status.MISMATCH, check=scores(0.0)),
)  # fmt: skip
