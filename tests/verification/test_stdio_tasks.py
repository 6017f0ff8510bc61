"""Scripts that are judged by what they print."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor import Compare, JudgeTask, Limits, Signal, Status, SyncExecutor, TaskType
from tests.cases.stdio_problems import PROBLEMS, Problem


@pytest.fixture(scope="module")
def executor() -> Iterator[SyncExecutor]:
    """An executor whose scripts may print 12 MB."""
    limits = Limits(cpu_s=10, wall_s=60, memory_mib=256, output_kib=12 * 1024)
    with SyncExecutor(limits=limits, cache=False) as executor:
        yield executor


def task(problem: Problem, *answers: str) -> JudgeTask:
    more = dict(problem.more)
    if "compare" in more:
        more["compare"] = Compare(**more["compare"])
    return JudgeTask(
        task=TaskType.STDIO,
        stdin=tuple(stdin for stdin, _ in problem.tests),
        stdout=tuple(stdout for _, stdout in problem.tests),
        answers=answers or (*problem.right, *problem.wrong),
        **more,
    )


def test_there_are_thirty_problems() -> None:
    assert len(PROBLEMS) >= 30
    assert all(problem.right and problem.wrong for problem in PROBLEMS)


def test_all_problems_are_judged_right(executor: SyncExecutor) -> None:
    judgements = executor.judge_many(task(problem) for problem in PROBLEMS)
    for problem, judgement in zip(PROBLEMS, judgements, strict=True):
        wanted = (1.0,) * len(problem.right) + (0.0,) * len(problem.wrong)
        assert judgement.scores == wanted, (problem.name, judgement.details)


def echo(size: int, answer: str) -> JudgeTask:
    text = "0123456789abcdef" * (size // 16) + "\n"
    return JudgeTask(task=TaskType.STDIO, stdin=(text,), stdout=(text,), answers=(answer,))


def test_ten_megabytes_go_in_and_come_out(executor: SyncExecutor) -> None:
    judgement = executor.judge(echo(10_000_000, "print(input())"))
    assert judgement.scores == (1.0,), judgement.details


def test_one_character_of_ten_million_counts(executor: SyncExecutor) -> None:
    judgement = executor.judge(echo(10_000_000, "print(input()[:-1] + 'g')"))
    assert judgement.statuses == (Status.MISMATCH,)
    assert len(judgement.details[0]) < 1200


def test_the_first_failure_ends_a_row_unless_all_are_wanted(executor: SyncExecutor) -> None:
    row = JudgeTask(
        task=TaskType.STDIO,
        stdin=tuple("abcdefghij"),
        stdout=("x", *"bcdefghij"),
        answers=("print(input())",),
        cases=True,
    )
    first = executor.judge(row)
    assert (first.counts, len(first.cases[0])) == (((0, 10),), 1)
    whole = executor.judge(row.model_copy(update={"all_tests": True}))
    assert whole.counts == ((9, 10),)
    assert [case.status for case in whole.cases[0]] == ["mismatch", *["ok"] * 9]
    share = executor.judge(row.model_copy(update={"scoring": "fraction"}))
    assert share.scores == (0.9,)
    some = executor.judge(row.model_copy(update={"scoring": "any"}))
    assert (some.scores, some.statuses) == ((1.0,), (Status.OK,))


def test_what_is_of_another_test_is_a_sign(executor: SyncExecutor) -> None:
    (problem,) = [p for p in PROBLEMS if p.name == "other outputs learnt by heart"]
    judgement = executor.judge(task(problem, *problem.wrong, *problem.right))
    assert judgement.signals == {Signal.OTHER_OUTPUT: 1}


def test_programs_that_look_around_are_a_sign(executor: SyncExecutor) -> None:
    judgement = executor.judge(
        JudgeTask(
            task=TaskType.STDIO,
            stdin=("1",),
            stdout=("1",),
            files={"given.txt": b"1"},
            answers=(
                "import sys\nsys._getframe()\nprint(1)",
                "import gc\ngc.get_objects()\nprint(1)",
                "try:\n    open('/tests/expected.txt')\nexcept OSError:\n    print(1)",
                "print(open('given.txt').read())",
                "open('own', 'w').write('1')\nprint(open('own').read())",
            ),
        )
    )
    assert judgement.scores == (1.0,) * 5
    assert judgement.signals == {Signal.SNOOPING: 2, Signal.FOREIGN_FILE: 1}


CHECKER = "def check(stdin, expected, actual):\n    return True"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"stdout": ()}, "1 texts of stdin and 0 of stdout"),
        ({"stdin": (), "stdout": ()}, "0 texts of stdin and 0 of stdout"),
        ({"checker": "def check(:"}, "the checker: SyntaxError"),
        ({"checker": "1 / 0\n" + CHECKER}, "the checker fails on the expected output"),
        ({"checker": "def test(*a): pass"}, "'check' is not defined"),
        ({"checker": CHECKER.replace("True", "1")}, "must return True or False"),
        ({"checker": "import os\n" + CHECKER.replace("return True", "os._exit(0)")}, "ended its"),
        ({"files": {"../up": b""}}, "not a plain relative path"),
    ],
)
def test_what_is_no_test_scores_nobody(
    executor: SyncExecutor, change: dict[str, object], detail: str
) -> None:
    row = JudgeTask(task=TaskType.STDIO, stdin=("1",), stdout=("1",), answers=("print(1)", "x"))
    judgement = executor.judge(row.model_copy(update=change))
    assert judgement.scores[0] is None
    assert judgement.statuses[0] == Status.MALFORMED
    assert detail in judgement.details[0]


def test_equal_answers_run_once(executor: SyncExecutor) -> None:
    slow = "import time\ntime.sleep(0.2)\nprint(input())"
    row = JudgeTask(task=TaskType.STDIO, stdin=("1",), stdout=("1",), answers=(slow,) * 16)
    judgement = executor.judge(row)
    assert judgement.scores == (1.0,) * 16
    assert judgement.usage.wall_ms < 2 * 1000
