"""Bytes through non-blocking file descriptors, without blocking the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

_READ_SIZE = 1 << 16


async def readable(fd: int) -> None:
    """Return once a read from a descriptor would not block."""
    loop = asyncio.get_running_loop()
    await _ready(fd, loop.add_reader, loop.remove_reader)


async def writable(fd: int) -> None:
    """Return once a small write to a descriptor would not block."""
    loop = asyncio.get_running_loop()
    await _ready(fd, loop.add_writer, loop.remove_writer)


async def _ready(fd: int, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
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


async def read_some(fd: int, size: int = _READ_SIZE) -> bytes:
    """Read what there is, up to a size; nothing at the end of file and after an error."""
    while True:
        try:
            return os.read(fd, size)
        except BlockingIOError:
            await readable(fd)
        except OSError:
            return b""


async def read_exactly(fd: int, size: int) -> bytes:
    """Read so many bytes; fewer where they end before."""
    data = b""
    while len(data) < size and (chunk := await read_some(fd, size - len(data))):
        data += chunk
    return data


async def write_all(fd: int, data: bytes) -> None:
    """Write all of it, or what the other side takes before it goes away."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await writable(fd)
        except OSError:
            return
