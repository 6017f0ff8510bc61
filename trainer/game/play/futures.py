"""Results of the executor that are still to come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any


def known[Result](result: Result) -> Future[Result]:
    """A future that has its result."""
    future: Future[Result] = Future()
    future.set_result(result)
    return future


def mapped[A, B](future: Future[A], function: Callable[[A], B]) -> Future[B]:
    """A future of what a function makes of a result that is still to come."""
    later: Future[B] = Future()

    def hand_over(done: Future[A]) -> None:
        if done.cancelled():
            later.cancel()
            return
        error = done.exception()
        if error is not None:
            later.set_exception(error)
        else:
            later.set_result(function(done.result()))

    future.add_done_callback(hand_over)
    return later


class Waiting:
    """Measures how long results of the executor are waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def result[Result](self, future: Future[Result]) -> Result:
        """The result of a future."""
        started = time.monotonic()
        try:
            return future.result()
        finally:
            self.seconds += time.monotonic() - started

    def first(self, futures: Sequence[Future[Any]], timeout_s: float | None) -> None:
        """Until one of them is done, or the time is over."""
        started = time.monotonic()
        wait(futures, timeout_s, return_when=FIRST_COMPLETED)
        self.seconds += time.monotonic() - started
