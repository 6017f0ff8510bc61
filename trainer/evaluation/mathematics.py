"""Problems of mathematical benchmarks, from the rows of their published files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.problems import Problem
from trainer.evaluation.questions import question
from trainer.game.texts.parsing import last_box
from trainer.game.texts.prompts.render import PromptBook

type Row = Mapping[str, Any]


def competition(benchmark: str, row: Row, _book: PromptBook) -> Problem:
    """AIME and AMC: a whole number, at times written as a float or with zeros before it."""
    answer = row["answer"]
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    text = str(answer)
    plain = str(int(text)) if text.isdecimal() else text
    return _problem(benchmark, row["id"], str(row["problem"]), [plain])


def math500(benchmark: str, row: Row, _book: PromptBook) -> Problem:
    """MATH-500: an answer in LaTeX, a subject and a level."""
    return _problem(
        benchmark,
        row["unique_id"],
        str(row["problem"]),
        [str(row["answer"])],
        attributes={"subject": str(row["subject"]), "difficulty": f"level {row['level']}"},
    )


def minerva(benchmark: str, row: Row, _book: PromptBook) -> Problem:
    """Minerva's problems of university courses: the answer is boxed in the solution."""
    answer = last_box(str(row["solution"]))
    if answer is None:
        raise EvaluationError(f"{benchmark}, {row.get('idx')}: the solution has no boxed answer")
    attributes = {"subject": str(row.get("type") or "")}
    return _problem(benchmark, row["idx"], str(row["problem"]), [answer], attributes=attributes)


def olympiadbench(benchmark: str, row: Row, _book: PromptBook) -> Problem:
    """OlympiadBench, open answers in English on mathematics: several where there are several."""
    answers = [str(answer) for answer in row["final_answer"]]
    text = "\n".join(str(part) for part in (row.get("context"), row["question"]) if part)
    if row.get("is_multiple_answer"):
        text = question("several", question=text)
    found = {"subject": str(row.get("subfield") or ""), "type": str(row.get("answer_type") or "")}
    # A tolerance that the row gives, for numbers that are rounded.
    error = str(row["error"]) if row.get("error") else None
    return _problem(benchmark, row["id"], text, answers, attributes=found, error=error)


def _problem(
    benchmark: str,
    name: object,
    text: str,
    answers: Sequence[str],
    *,
    attributes: Mapping[str, str] | None = None,
    error: str | None = None,
) -> Problem:
    fields: dict[str, Any] = {"task": "math", "expected": tuple(answers)}
    tolerance = _number(error)
    if tolerance is not None:
        fields["compare"] = {"atol": tolerance}
    kept = {key: value for key, value in (attributes or {}).items() if value}
    return Problem(benchmark, str(name), "math", text.strip(), lambda: fields, kept)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
