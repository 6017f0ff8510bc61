"""HumanEval and MBPP+, all of them: what is right scores 1, what is wrong or cheats scores 0."""

from __future__ import annotations

import pytest

from executor import Compare, JudgeTask, SyncExecutor, TaskType
from tests.support.grading import CHEATS, GRADING, cheating, rows

pytestmark = [
    pytest.mark.long,
    pytest.mark.data,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        not (GRADING / "humaneval.jsonl").exists(), reason="the shared data sets are not here"
    ),
]


def test_humaneval_as_assertions_cannot_be_cheated(sandbox: SyncExecutor) -> None:
    problems = rows("humaneval.jsonl")
    tasks = [
        JudgeTask(
            task=TaskType.ASSERT,
            entry_point=row["entry_point"],
            tests=row["test"],
            answers=(
                row["prompt"] + row["canonical_solution"],
                *(f"{row['prompt']}    pass\n{cheat}" for cheat in cheating(row["entry_point"])),
            ),
            id=row["task_id"],
        )
        for row in problems
    ]
    judgements = list(sandbox.judge_many(tasks))
    assert [j.id for j in judgements if j.scores != (1.0, *(0.0 for _ in CHEATS))] == []
    assert len(judgements) == 164
    assert not any(j.weak for j in judgements)


def test_mbpp_plus_by_calls(sandbox: SyncExecutor) -> None:
    tasks = [
        JudgeTask(
            task=TaskType.CALL,
            entry_point=row["entry_point"],
            inputs=tuple(row["inputs"]),
            outputs=tuple(row["outputs"]),
            compare=Compare(atol=row["atol"]),
            answers=(row["solution"], *row["wrong"]),
            id=row["id"],
        )
        for row in rows("mbpp_plus.jsonl")
    ]
    judgements = list(sandbox.judge_many(tasks))
    assert [j.id for j in judgements if j.scores != (1.0, *(0.0 for _ in j.scores[1:]))] == []
    assert sum(len(j.scores) for j in judgements) > 350


SAME = """
def same(value, wanted, atol):
    if isinstance(value, float) and isinstance(wanted, float):
        return value == wanted or abs(value - wanted) <= atol or value != value and wanted != wanted
    return value == wanted
"""


def test_mbpp_plus_by_assertions(sandbox: SyncExecutor) -> None:
    tasks = [
        JudgeTask(
            task=TaskType.ASSERT,
            entry_point=row["entry_point"],
            tests=SAME
            + "\n".join(
                f"assert same({row['entry_point']}({given}), {wanted}, {row['atol'] or 1e-6})"
                for given, wanted in zip(row["inputs"], row["outputs"], strict=True)
            ),
            answers=(row["solution"], *row["wrong"]),
            id=row["id"],
        )
        for row in rows("mbpp_plus.jsonl")
    ]
    judgements = list(sandbox.judge_many(tasks))
    assert [j.id for j in judgements if j.scores != (1.0, *(0.0 for _ in j.scores[1:]))] == []


def test_published_assertions_of_mbpp_hold_for_its_solutions(sandbox: SyncExecutor) -> None:
    tasks = [
        JudgeTask(
            task=TaskType.ASSERT,
            entry_point=row["entry_point"],
            tests=row["asserts"],
            answers=(row["solution"],),
            id=row["id"],
        )
        for row in rows("mbpp_plus.jsonl")
        if row["asserts"] is not None
    ]
    judgements = list(sandbox.judge_many(tasks))
    assert [j.id for j in judgements if j.scores != (1.0,)] == []
