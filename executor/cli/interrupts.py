"""Ctrl-C and SIGTERM: the first one ends the work in good order, the second one at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal ended the guarded work."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


class Interrupts:
    """Turns the first signal into the cancellation of one guarded block.

    The handlers are plain ones, not the event loop's: they must also run while the loop is stuck
    in a system call.
    """

    def __init__(self, at_exit: Callable[[], None] = lambda: None) -> None:
        self.signum: int | None = None
        """The first signal that arrived."""
        self._at_exit = at_exit
        self._task: asyncio.Task[object] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals in this block; must be entered in the main thread."""
        before = {
            number: signal.signal(number, self._on_signal)
            for number in _SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN  # nohup, or a shell's background job
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Cancel this block on the first signal.

        Raises:
            Interrupted: a signal ended the block, or came before it.
        """
        self._check()
        self._task = task = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if task is not None and self.signum is not None:
                task.uncancel()
            self._check()
            raise
        finally:
            self._task = None

    def _check(self) -> None:
        if self.signum is not None:
            raise Interrupted(self.signum) from None

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            self._at_exit()
            os._exit(128 + signum)
        self.signum = signum
        if self._task is not None:
            with suppress(RuntimeError):  # the loop has just been closed: nothing is left to end
                self._task.get_loop().call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
