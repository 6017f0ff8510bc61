"""Frames between the processes of a fleet: length, kind, body. Both ends are ours."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol, cast

_HEAD = struct.Struct("<IB")


class Frame(IntEnum):
    """What a frame is."""

    SETTINGS = 1
    """First to a child: what its executor is made of."""
    WORK = 2
    CANCEL = 3
    READY = 4
    """First from a child: what its executor is."""
    FAILED = 5
    """Instead: why there is none."""
    RESULT = 6
    ERROR = 7
    """What the executor raised."""
    STATS = 8


type Take = Callable[[Frame, bytes], None]
"""What is called with each frame."""


class Channel(Protocol):
    """One end of whatever carries frames, in their order."""

    def send(self, kind: Frame, body: bytes) -> None:
        """Send a frame, together with others of about the same time."""

    def close(self) -> None:
        """Send what is left, and end the channel."""


def packed(kind: Frame, body: bytes) -> tuple[bytes, bytes]:
    """The two parts of a frame."""
    return _HEAD.pack(len(body), kind), body


class Splitter:
    """Finds frames in a stream of bytes, however it is cut."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take all frames that are whole."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _HEAD.size:
            size, kind = _HEAD.unpack_from(buffer, start)
            end = start + _HEAD.size + size
            if end > len(buffer):
                break
            self._take(Frame(kind), bytes(buffer[start + _HEAD.size : end]))
            start = end
        del buffer[:start]


class Connection(asyncio.Protocol):
    """One end of a socket that carries frames; a :class:`Channel`.

    Args:
        take: Called with each frame.
        lost: Called once when the other end is gone.
    """

    def __init__(self, take: Take, lost: Callable[[], None]) -> None:
        self._splitter = Splitter(take)
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []

    def send(self, kind: Frame, body: bytes) -> None:
        """Send a frame, together with all others of this turn of the event loop."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += packed(kind, body)

    def close(self) -> None:
        """Send what is left, and end the connection."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self._transport.is_closing() and unsent:
            self._transport.write(b"".join(unsent))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take all frames that are whole."""
        self._splitter.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._transport = None
        self._lost()
