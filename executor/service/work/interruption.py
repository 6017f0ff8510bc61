"""Ending a block of a task from outside, with a reason."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Interruption:
    """A block that others can end: ``with Interruption() as block``, ``block.end(reason)``.

    Whoever is in the block is cancelled, and the block raises the reason. Cancelling the task
    goes through as usual. To be ended by other tasks or callbacks only.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._reason: Exception | None = None

    def end(self, reason: Exception) -> None:
        """End the block; the first reason counts. Nothing happens once the block is over."""
        if self._task is not None and self._reason is None:
            self._reason = reason
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if self._reason is None or task is None:
            return
        # as in asyncio.timeout: a cancellation that came on top of ours is not ours to swallow
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._reason from None
