"""Waiting for a file descriptor without blocking the event loop.

A read from a slow pipe, or a write into one, must not stop the loop: programs under test are being
timed on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


async def readable(fd: int) -> None:
    """Return once a read from ``fd`` would not block."""
    loop = asyncio.get_running_loop()
    await _ready(loop.add_reader, loop.remove_reader, fd)


async def writable(fd: int) -> None:
    """Return once a small write to ``fd`` would not block."""
    loop = asyncio.get_running_loop()
    await _ready(loop.add_writer, loop.remove_writer, fd)


async def _ready(add: Callable[..., Any], remove: Callable[[int], Any], fd: int) -> None:
    woken = asyncio.get_running_loop().create_future()
    try:
        add(fd, _wake, woken)
    except (PermissionError, NotImplementedError):
        return  # not a thing that can be polled (/dev/null, or a loop without descriptors)
    try:
        await woken
    finally:
        remove(fd)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
