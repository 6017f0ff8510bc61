"""The example files that come with the project: sound in themselves, and judged as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import executor
from executor import Executor, Judgement, JudgeTask, Limits, Status, Triplet, Verdict
from executor.cli.io.rows import read_judge_task, read_triplet
from executor.cli.io.source import Line

EXAMPLES = Path(executor.__file__).parent / "examples"

# A verified program has no processes to run out of; ten seconds of waiting and a broken platform
# are no examples.
NOT_SHOWN = {Status.PROCESS_LIMIT, Status.ROW_LIMIT, Status.WALL_LIMIT, Status.INFRA}

# The endless loop must reach its CPU limit before the wall-clock limit, even on a busy machine.
LIMITS = Limits(cpu_s=1, wall_s=30)


def lines(name: str) -> list[Line]:
    raw = (EXAMPLES / name).read_bytes().splitlines()
    return [Line(number, text, len(text) + 1) for number, text in enumerate(raw, 1)]


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line.raw or b"") for line in lines(name)]


def triplets(name: str, *, error_task: bool = False) -> list[Triplet]:
    items = [read_triplet(line, 0, error_task=error_task).item for line in lines(name)]
    return [item for item in items if isinstance(item, Triplet)]


def judge_tasks(name: str) -> list[JudgeTask]:
    items = [read_judge_task(line, 0).item for line in lines(name)]
    return [item for item in items if isinstance(item, JudgeTask)]


def expected_matches(row: dict[str, Any]) -> bool | None:
    """Whether the given outputs are right; ``None`` without any, or where nothing was computed."""
    given = "output" in row or "outputs" in row
    status = row["expected"]["status"]
    if not given or status not in {Status.OK, Status.MISMATCH}:
        return None
    return bool(status == Status.OK)


def test_there_are_enough_examples() -> None:
    assert len(rows("triplets.jsonl")) >= 60
    assert len(rows("errors.jsonl")) >= 10
    assert len(rows("answers.jsonl")) >= 40


@pytest.mark.parametrize("name", ["triplets.jsonl", "errors.jsonl", "answers.jsonl"])
def test_ids_are_unique(name: str) -> None:
    ids = [row["id"] for row in rows(name)]
    assert len(set(ids)) == len(ids)


def test_every_row_can_be_read() -> None:
    assert len(triplets("triplets.jsonl")) == len(rows("triplets.jsonl"))
    assert len(triplets("errors.jsonl", error_task=True)) == len(rows("errors.jsonl"))
    assert len(judge_tasks("answers.jsonl")) == len(rows("answers.jsonl"))


def test_every_status_that_verify_can_show_is_shown() -> None:
    shown = {row["expected"]["status"] for row in rows("triplets.jsonl")}
    assert shown == set(Status) - NOT_SHOWN


def test_every_task_type_is_shown() -> None:
    every = {"deduction", "abduction", "induction", "error"}
    assert {row["task"] for row in rows("triplets.jsonl")} == every
    assert {row["task"] for row in rows("answers.jsonl")} == every


def test_every_answer_has_an_expected_score() -> None:
    for row in rows("answers.jsonl"):
        expected = row["expected"]
        counts = {len(row["answers"]), len(expected["scores"]), len(expected["statuses"])}
        assert len(counts) == 1, row["id"]


def as_expected(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {"status": verdict.status, "valid": verdict.valid}
    if verdict.valid:
        found["outputs"] = list(verdict.outputs)
    return found


async def check_verdicts(name: str, *, error_task: bool) -> None:
    given = triplets(name, error_task=error_task)
    async with Executor(backend="nsjail", limits=LIMITS) as sandbox:
        verdicts = [verdict async for verdict in sandbox.validate_many(iter(given))]
    expected = rows(name)
    assert [verdict.index for verdict in verdicts] == list(range(len(expected)))
    wrong = {
        row["id"]: (row["expected"], verdict)
        for row, verdict in zip(expected, verdicts, strict=True)
        if as_expected(verdict) != row["expected"] or verdict.matches is not expected_matches(row)
    }
    assert not wrong


async def test_triplets_are_validated_as_expected() -> None:
    await check_verdicts("triplets.jsonl", error_task=False)


async def test_error_tasks_are_validated_as_expected() -> None:
    await check_verdicts("errors.jsonl", error_task=True)


async def test_answers_are_judged_as_expected() -> None:
    async with Executor(backend="nsjail", limits=LIMITS) as sandbox:
        judgements: list[Judgement] = [
            judgement async for judgement in sandbox.judge_many(iter(judge_tasks("answers.jsonl")))
        ]
    wrong = {
        row["id"]: (row["expected"], judgement)
        for row, judgement in zip(rows("answers.jsonl"), judgements, strict=True)
        if list(judgement.scores) != row["expected"]["scores"]
        or list(judgement.statuses) != row["expected"]["statuses"]
    }
    assert not wrong


@pytest.mark.parametrize("name", ["triplets.jsonl", "errors.jsonl", "answers.jsonl"])
def test_examples_are_plain_ascii_json(name: str) -> None:
    assert (EXAMPLES / name).read_bytes().isascii()
