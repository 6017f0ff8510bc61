"""Blocking calls into a loop: interrupted at any moment, and stopped under their feet."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from executor.api.loop_thread import LoopThread
from executor.errors import ExecutorClosed
from tests.support.waiting import wait_until


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


async def forever() -> None:
    await asyncio.sleep(3600)


async def one() -> int:
    return 1


@contextmanager
def at_each_line(action: Callable[[], None]) -> Iterator[None]:
    """Do something before each line that this thread runs in ``LoopThread.call`` and below it."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        caller = frame.f_back
        if frame.f_code is not LoopThread.call.__code__ and not (caller and caller.f_trace):
            return None
        if event == "line":
            action()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def lines_until_it_waits(thread: LoopThread) -> int:
    lines = 0

    def count() -> None:
        nonlocal lines
        lines += 1

    async def lines_of_the_caller() -> int:
        before = -1
        while before != lines:
            before = lines
            await asyncio.sleep(0.3)
        return lines

    with at_each_line(count):
        return thread.call(lines_of_the_caller())


def interrupt_at(number: int, thread: LoopThread, work: Coroutine[Any, Any, None]) -> None:
    lines = 0

    def interrupt() -> None:
        nonlocal lines
        lines += 1
        if lines == number:
            sys.settrace(None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), at_each_line(interrupt):
        thread.call(work)


def test_an_interrupt_at_any_line_of_a_call_leaves_nothing_running(
    loop_thread: LoopThread,
) -> None:
    lines = lines_until_it_waits(loop_thread)
    assert lines > 30  # those of the standard library are among them
    for number in range(1, lines + 1):
        work = forever()
        interrupt_at(number, loop_thread, work)
        state = inspect.getcoroutinestate(work)
        assert state in (inspect.CORO_CREATED, inspect.CORO_CLOSED), (number, state)
        work.close()
        assert loop_thread.call(one()) == 1


def test_what_a_coroutine_raises_is_raised(loop_thread: LoopThread) -> None:
    async def fails() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        loop_thread.call(fails())
    assert loop_thread.call(one()) == 1


def in_background(function: Callable[[], Any]) -> Future[Any]:
    """In a thread that keeps no test from failing: who waits for ever does so alone."""
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # it is the outcome
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome


def test_stopping_ends_what_other_threads_wait_for(loop_thread: LoopThread) -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)  # some turns of the loop
            ended.append(1)

    calls = [in_background(lambda: loop_thread.call(work())) for _ in range(4)]
    wait_until(lambda: loop_thread.call(_tasks()) == len(calls) + 1)
    loop_thread.stop()
    for call in calls:
        with pytest.raises(ExecutorClosed):
            call.result(60)
    assert ended == [1] * len(calls)


async def _tasks() -> int:
    return len(asyncio.all_tasks())


def test_calls_that_meet_the_end_are_answered(loop_thread: LoopThread) -> None:
    begun = threading.Event()

    def call_on() -> None:
        while True:
            assert loop_thread.call(one()) == 1
            begun.set()

    calls = [in_background(call_on) for _ in range(4)]
    assert begun.wait(60)
    loop_thread.stop()
    for call in calls:
        with pytest.raises(ExecutorClosed):
            call.result(20)
    with pytest.raises(ExecutorClosed):
        loop_thread.call(one())


def test_a_submitted_coroutine_gives_its_result_or_its_error(loop_thread: LoopThread) -> None:
    async def fails() -> None:
        raise LookupError("mine")

    assert loop_thread.submit(one()).result(60) == 1
    with pytest.raises(LookupError, match="mine"):
        loop_thread.submit(fails()).result(60)


def test_cancelling_a_future_cancels_the_coroutine(loop_thread: LoopThread) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            ended.set()

    future = loop_thread.submit(work())
    wait_until(lambda: loop_thread.call(_tasks()) == 2)
    assert future.cancel()
    assert ended.wait(60)
    assert loop_thread.call(one()) == 1


def test_stopping_gives_every_future_an_end(loop_thread: LoopThread) -> None:
    futures: list[Future[Any]] = []

    def submit_on() -> None:
        while True:
            futures.append(loop_thread.submit(one()))
            futures.append(loop_thread.submit(forever()))

    submitting = in_background(submit_on)
    wait_until(lambda: len(futures) > 100 and futures[0].done())
    loop_thread.stop()
    with pytest.raises(ExecutorClosed):
        submitting.result(60)
    errors = [future.exception(60) for future in futures]
    assert {type(error) for error in errors} == {type(None), ExecutorClosed}
    with pytest.raises(ExecutorClosed):
        loop_thread.submit(one())
