"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import psutil


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """By default as long as a starved machine may need: who waits in vain has failed anyway."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def wait_until_gone(processes: Iterable[psutil.Process]) -> None:
    """Until none of them is left. By when they began, too: new ones soon have their numbers."""
    wait_until(lambda: not any(process.is_running() for process in processes))
