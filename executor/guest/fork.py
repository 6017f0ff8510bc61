"""Parts that the fork loops in Python share: sending a child's result, and receiving it."""

from __future__ import annotations

import builtins
import posix
import select
import struct
import time

from executor.wire.layout import (
    FORGED,
    NO_RESULT,
    OUTPUT_LIMIT,
    RESULT,
    RESULT_HEAD,
    WALL_LIMIT,
)

# The functions below look up builtins here, whatever a program makes of the interpreter's.
__builtins__ = dict(builtins.__dict__)  # type: ignore[assignment]

_HEAD = struct.Struct(RESULT_HEAD)
_POLLHUP, _POLLERR = select.POLLHUP, select.POLLERR
_HOST = 0
_monotonic = time.monotonic


def receive(
    reader: int, nonce: bytes, deadline: float, max_output: int, *, watch_host: bool
) -> tuple[int, bytes]:
    """Read a child's frame until it is whole, broken, too long or too late: how it ended, and the
    result. ``watch_host``: end this process if descriptor 0 is closed meanwhile."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if watch_host:
        poll.register(_HOST, 0)
    data = bytearray()
    while True:
        left = deadline - _monotonic()
        if left <= 0:
            return WALL_LIMIT, b""
        if not _is_readable(poll, reader, left):
            continue
        chunk = posix.read(reader, 1 << 16)
        if not chunk:
            return (FORGED if data else NO_RESULT), b""
        data += chunk
        ended = _outcome_of(data, nonce, max_output)
        if ended is not None:
            return ended


def _is_readable(poll: select.poll, reader: int, seconds: float) -> bool:
    """Wait for the child at most so long; ends this process if the host is gone."""
    events = poll.poll(seconds * 1000 + 1)
    if any(fd == _HOST and flags & (_POLLHUP | _POLLERR) for fd, flags in events):
        posix._exit(0)  # as pid 1 we take the child with us
    return any(fd == reader for fd, _ in events)


def _outcome_of(data: bytearray, nonce: bytes, max_output: int) -> tuple[int, bytes] | None:
    """What a child has sent so far means, and the result; None if more must come."""
    if bytes(data[:8]) != nonce[: len(data)]:
        return FORGED, b""
    if len(data) < _HEAD.size:
        return None
    size = _HEAD.unpack_from(data)[1]
    if size > max_output:
        return OUTPUT_LIMIT, b""
    want = _HEAD.size + size
    if len(data) < want:
        return None
    return (RESULT, bytes(data[_HEAD.size :])) if len(data) == want else (FORGED, b"")


def emit(writer: int, nonce: bytes, data: bytes) -> None:
    """Send the child's result and end the child."""
    frame = _HEAD.pack(nonce, len(data)) + data
    try:
        while frame:
            frame = frame[posix.write(writer, frame) :]
    finally:
        posix._exit(0)
