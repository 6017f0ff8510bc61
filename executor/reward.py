"""Reward functions for code, with veRL's signature. One line of veRL's configuration uses them::

    reward.custom_reward_function.path=pkg://executor.reward

(its ``name`` is ``compute_score`` by default). The environment says where programs run:
``EXECUTOR_URL`` names a service (see :class:`executor.client.RemoteExecutor` for its token),
``EXECUTOR_BACKEND`` a backend of this machine; by default it is nsjail.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from executor.api.blocking import SyncExecutor
from executor.api.protocol import SyncExecutorProtocol
from executor.errors import ExecutorError, InputError
from executor.formats.tests import fields_of
from executor.formats.texts import code_of
from executor.models import Judgement, JudgeTask, Status

_PAUSES_S = (0.0, 1.0, 5.0)
"""Before each attempt."""
_CLASS = "class Solution"


class NoScore(ExecutorError):
    """The platform failed on an answer, or its tests are no tests: no number is its score.

    veRL's reward managers ``naive``, ``dapo`` and ``gdpo`` let it end the run; ``rate_limited``
    and ``prime`` give the answer 0.
    """


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    *,
    scoring: str = "binary",
    no_score: float | None = None,
    **_: object,
) -> dict[str, Any]:
    """The score of one answer.

    Args:
        data_source: the data set's name; it does not matter.
        solution_str: what the model wrote; the last fenced block of Python counts, or all of it.
        ground_truth: tests in one of the shapes of :mod:`executor.formats.tests`.
        extra_info: ``fn_name`` or ``entry_point`` says what is called, where the tests do not.
        scoring: as of :class:`executor.JudgeTask`; ``reward_kwargs`` of veRL's configuration.
        no_score: the ``score`` in place of :class:`NoScore`; ``reward_kwargs``, too.

    Returns:
        ``score`` and ``acc`` (all tests passed), both 0.0 to 1.0, and ``status``.

    Raises:
        NoScore: the platform failed in spite of retries, or the tests cannot be used, and
            ``no_score`` says nothing else.
    """
    try:
        task = task_of(solution_str, ground_truth, extra_info or {}, scoring)
    except InputError as error:
        return _unscored(no_score, Status.MALFORMED, f"{data_source}: {error}")
    for pause_s in _PAUSES_S:
        time.sleep(pause_s)
        judgement = _shared.judge(task)
        (score,), (status,) = judgement.scores, judgement.statuses
        if score is not None:
            passed = float(status is Status.OK and score == 1.0)
            return {"score": score, "acc": passed, "status": str(status)}
        if status is not Status.INFRA:
            break
    return _unscored(no_score, status, f"{data_source}: {judgement.details[0]}")


def _unscored(no_score: float | None, status: Status, detail: str) -> dict[str, Any]:
    if no_score is None:
        raise NoScore(detail)
    return {"score": no_score, "acc": 0.0, "status": str(status)}


def task_of(
    solution: str, ground_truth: object, extra_info: Mapping[str, Any], scoring: str = "binary"
) -> JudgeTask:
    """The task that an answer is judged by. Raises :class:`InputError`."""
    code = code_of(solution)
    name = extra_info.get("fn_name") or extra_info.get("entry_point")
    fields = fields_of(ground_truth, function=name, in_class=_CLASS in code)
    return JudgeTask.model_validate({**fields, "answers": (code,), "scoring": scoring})


class _Shared:
    """The executor of a process, made with the first answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: SyncExecutorProtocol | None = None
        self._owner = 0

    def judge(self, task: JudgeTask) -> Judgement:
        """Judge with it."""
        return self._opened().judge(task)

    def _opened(self) -> SyncExecutorProtocol:
        with self._lock:
            if self._executor is None or self._owner != os.getpid():  # a fork has none
                self._owner = os.getpid()
                self._executor = _make().__enter__()
                atexit.register(self.close)
            return self._executor

    def close(self) -> None:
        """End it."""
        with self._lock:
            executor, self._executor = self._executor, None
            if executor is not None and self._owner == os.getpid():
                executor.close()


def _make() -> SyncExecutorProtocol:
    if os.environ.get("EXECUTOR_URL"):
        from executor.client import SyncRemoteExecutor  # noqa: PLC0415 - an extra

        return SyncRemoteExecutor(os.environ["EXECUTOR_URL"])
    return SyncExecutor(os.environ.get("EXECUTOR_BACKEND", "nsjail"))


_shared = _Shared()
close = _shared.close
"""End the sandboxes of this process; the next answer starts them anew."""
