"""An event loop in a thread of its own, and calls into it: blocking ones, and ones that are not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from executor.errors import ExecutorClosed

_END_TIMEOUT_S = 10.0


class LoopThread:
    """A running event loop; :meth:`call` and :meth:`submit` are for other threads, any number.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str = "executor") -> None:
        self._loop = asyncio.new_event_loop()
        self._calls: set[_Call[Any]] = set()
        self._stopping = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call[Result](self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the loop, and return what it returns or raise what it raises.

        An exception that comes from elsewhere, as KeyboardInterrupt does, cancels the coroutine,
        whatever moment it comes at, and is raised when that has ended (or after 10 seconds).

        Raises:
            ExecutorClosed: the loop was stopped, before or meanwhile.
        """
        call = _Call(coroutine)
        try:
            self._calls.add(call)
            self._schedule(partial(self._start, call))
            call.wait()
            return call.result()
        except BaseException:
            with suppress(ExecutorClosed):
                if not call.ended:
                    self._schedule(call.cancel)
                    call.wait(_END_TIMEOUT_S)
            raise
        finally:
            self._calls.discard(call)
            if call.task is None:
                coroutine.close()

    def submit[Result](self, coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start a coroutine in the loop, and return the future of its result at once.

        Cancelling the future cancels the coroutine. :meth:`stop` gives every future an end: those
        that have no result by then raise ``ExecutorClosed``.

        Raises:
            ExecutorClosed: the loop was stopped.
        """
        call = _Submission(coroutine, self._calls.discard)
        self._calls.add(call)
        try:
            self._schedule(partial(self._start, call))
        except ExecutorClosed:
            call.end()
            raise
        call.future.add_done_callback(partial(self._withdraw, call))
        return call.future

    def _withdraw(self, call: _Call[Any], future: Future[Any]) -> None:
        if future.cancelled():
            with suppress(ExecutorClosed):
                self._schedule(call.cancel)

    def stop(self) -> None:
        """Cancel what still runs, wait for its end, and end the thread. Safe to call twice."""
        with suppress(ExecutorClosed):
            self._schedule(self._loop.stop)
        self._thread.join()
        for call in tuple(self._calls):  # those that the loop has not come to
            call.end()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.get_loop().run_forever()
            finally:
                self._stopping = True  # what is started from here on might not come to its end

    def _start(self, call: _Call[Any]) -> None:
        if self._stopping:
            call.end()
        else:
            call.start()

    def _schedule(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            raise ExecutorClosed("the executor was closed") from None


class _Call[Result]:
    """A coroutine for the loop, and its end for the thread that waits.

    ``start`` and ``cancel`` are for the loop. It gets them in the order they were scheduled in, so
    it does not matter whether an interrupted thread knows that it had scheduled the start.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Result]) -> None:
        self.task: asyncio.Task[Result] | None = None
        self.ended = False
        self._coroutine = coroutine
        # In C: an interrupt within Python's own conditions and futures may leave their locks in a
        # state that they raise RuntimeError for.
        self._news: SimpleQueue[None] = SimpleQueue()

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._coroutine)
        self.task.add_done_callback(self.end)

    def cancel(self) -> None:
        if self.task is None:
            self.end()
        else:
            self.task.cancel()

    def end(self, task: asyncio.Task[Result] | None = None) -> None:
        """There is a result, or there will be none."""
        if task is not None and not task.cancelled():
            task.exception()  # now it is seen, should nobody wait for it any more
        self.ended = True
        self._news.put(None)

    def wait(self, timeout_s: float | None = None) -> None:
        with suppress(Empty):
            self._news.get(timeout=timeout_s)

    def result(self) -> Result:
        if self.task is None or self.task.cancelled():
            raise ExecutorClosed("the executor was closed")
        return self.task.result()


class _Submission[Result](_Call[Result]):
    """A call that nobody waits for here: its outcome goes into a future."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Result], ended: Callable[[_Call[Any]], None]
    ) -> None:
        super().__init__(coroutine)
        self.future: Future[Result] = Future()
        self._tell = ended

    def end(self, task: asyncio.Task[Result] | None = None) -> None:
        if self.ended:
            return
        super().end(task)
        self._tell(self)
        if self.task is None:
            self._coroutine.close()
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.result())
        except BaseException as error:  # it is the outcome
            self.future.set_exception(error)
