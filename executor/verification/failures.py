"""Results of rows that the platform itself failed on: they say nothing about the row."""

from __future__ import annotations

import logging

from executor.models import Judgement, JudgeTask, Status, Triplet, Verdict

_log = logging.getLogger("executor")


def failed_verdict(index: int, triplet: Triplet, error: Exception) -> Verdict:
    """The verdict on a triplet whose validation raised."""
    return Verdict(
        index=index, id=triplet.id, status=Status.INFRA, valid=False, detail=_told(index, error)
    )


def failed_judgement(index: int, task: JudgeTask, error: Exception) -> Judgement:
    """The scores, which are none, of a task whose judgement raised."""
    count = len(task.answers)
    return Judgement(
        index=index,
        id=task.id,
        scores=(None,) * count,
        statuses=(Status.INFRA,) * count,
        details=(_told(index, error),) * count,
    )


def _told(index: int, error: Exception) -> str:
    _log.error("row %d failed", index, exc_info=error)
    return f"the platform failed on this row: {type(error).__name__}"
