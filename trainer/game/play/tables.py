"""A few proposals and answers of a step, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.game.play.records import AnswerRecord, ProposalRecord, Record
from trainer.game.tasks.task import Kind
from trainer.game.texts.parsing import extract_thought

_LONGEST_TEXT = 4000

type Row = Mapping[str, Any]


def step_tables(
    records: Sequence[Record], step: int, rows_per_kind: int
) -> dict[str, tuple[Row, ...]]:
    """Rows of JSON values: per kind the first valid proposals and right answers, then others."""
    by_kind: dict[Kind, list[Record]] = {}
    for record in records:
        by_kind.setdefault(record.prompt.kind, []).append(record)
    chosen = [
        record
        for group in by_kind.values()
        for record in sorted(group, key=_is_poor)[:rows_per_kind]
    ]
    return {
        "proposals": tuple(
            _proposal(record, step) for record in chosen if isinstance(record, ProposalRecord)
        ),
        "answers": tuple(
            _answer(record, step) for record in chosen if isinstance(record, AnswerRecord)
        ),
    }


def _is_poor(record: Record) -> bool:
    if isinstance(record, ProposalRecord):
        return not record.valid
    return not record.scored.score


def _proposal(record: ProposalRecord, step: int) -> Row:
    task = record.examined.task
    return {
        **_common(record, step),
        "status": record.examined.status,
        "detail": record.examined.detail,
        "solve_rate": record.solve_rate,
        "learnability": record.learnability,
        "stored": record.stored,
        "duplicate": record.duplicate,
        "task": task.to_json() if task else None,
    }


def _answer(record: AnswerRecord, step: int) -> Row:
    task = record.prompt.task
    return {
        **_common(record, step),
        "status": record.scored.status,
        "detail": record.scored.detail,
        "score": record.scored.score,
        "solution": record.scored.solution,
        "task": task.to_json() if task else None,
    }


def _common(record: Record, step: int) -> dict[str, Any]:
    text = record.response.text
    return {
        "step": step,
        "kind": record.prompt.kind.name,
        "reward": record.reward,
        "masked": record.masked,
        "advantage": record.advantage,
        "well_formed": record.well_formed,
        "tokens": record.response.tokens,
        "thought": extract_thought(text)[:_LONGEST_TEXT],
        "response": text[:_LONGEST_TEXT],
    }
