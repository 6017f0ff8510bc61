"""Problems of code benchmarks, from the rows of their published files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from executor import read_row
from trainer.evaluation.problems import Kind, Problem
from trainer.evaluation.questions import question
from trainer.game.tasks.task import ProgramTask, TaskType
from trainer.game.texts.prompts.render import PromptBook

type Row = Mapping[str, Any]

_NOT_OF_A_TASK = ("id", "answers", "prompt")


def humaneval(benchmark: str, row: Row, _book: PromptBook) -> Problem:
    """HumanEval: a prompt, its continuation, and ``check(candidate)``."""
    return _completion(benchmark, row, "humaneval")


def humaneval_plus(benchmark: str, row: Row, _book: PromptBook) -> Problem:
    """HumanEval+ as EvalPlus publishes it: inputs, and a solution that says what is right."""
    return _completion(benchmark, row, "evalplus")


def _completion(benchmark: str, row: Row, format_: str) -> Problem:
    head = str(row["prompt"])
    return Problem(
        benchmark,
        str(row["task_id"]),
        "program",
        question("complete", head=head.strip("\n")),
        partial(_fields, format_, row),
        entry_point=str(row["entry_point"]),
        head=head,
    )


def mbpp_plus(benchmark: str, row: Row, _book: PromptBook) -> Problem:
    """MBPP+ as EvalPlus publishes it."""
    return Problem(
        benchmark,
        str(row["task_id"]),
        "program",
        question("function", task=str(row["prompt"]).strip()),
        partial(_fields, "evalplus", row),
        entry_point=str(row["entry_point"]),
    )


def livecodebench(benchmark: str, row: Row, _book: PromptBook) -> Problem:
    """LiveCodeBench's generation."""
    head = str(row.get("starter_code") or "").strip("\n")
    task = str(row["question_content"]).strip()
    date = str(row.get("contest_date") or "")[:10]
    found = {
        "difficulty": str(row.get("difficulty") or ""),
        "platform": str(row.get("platform") or ""),
        "month": date[:7],
        "date": date,
    }
    return Problem(
        benchmark,
        str(row["question_id"]),
        "program",
        question("method", task=task, head=head) if head else question("stdin", task=task),
        partial(_fields, "livecodebench", row),
        {name: value for name, value in found.items() if value},
    )


def _fields(format_: str, row: Row) -> dict[str, Any]:
    return {
        name: value
        for name, value in read_row(format_, row).items()
        if name not in _NOT_OF_A_TASK and value is not None
    }


# ---- CRUXEval --------------------------------------------------------------------------------


def cruxeval_input(benchmark: str, row: Row, book: PromptBook) -> Problem:
    """CRUXEval-I: find an input that gives the output."""
    return _reasoning(benchmark, row, book, TaskType.ABDUCTION, "input")


def cruxeval_output(benchmark: str, row: Row, book: PromptBook) -> Problem:
    """CRUXEval-O: find the output."""
    return _reasoning(benchmark, row, book, TaskType.DEDUCTION, "output")


def _reasoning(
    benchmark: str, row: Row, book: PromptBook, task_type: TaskType, kind: Kind
) -> Problem:
    program, given, output = (str(row[name]) for name in ("code", "input", "output"))
    fields = {
        "task": task_type.value,
        "program": program,
        "inputs": (given,),
        "outputs": (output,),
    }
    question = book.question(task_type, ProgramTask(program, given, output))
    return Problem(benchmark, str(row["id"]), kind, question, lambda: fields)
