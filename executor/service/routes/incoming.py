"""Lines of a request's body, received while they are worked on."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import Message, Receive

_AHEAD = 1 << 20
"""Bytes of lines that are received before they can be worked on."""


class EndOfLines(Exception):
    """The body is complete, and all its lines have been taken."""


class Incoming:
    """Splits a body into lines. Blank ones do not count; one that is too long comes as ``None``."""

    def __init__(self, receive: Receive, max_line: int) -> None:
        self._receive = receive
        self._max_line = max_line
        self._lines: deque[bytes | None] = deque()
        self._waiting = 0
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._complete = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def pump(self, first: Message | None = None) -> None:
        """Receive until the client goes away. Run it in a task of its own.

        It goes on when the body is complete: nothing else tells when the client leaves. It pauses
        while lines wait to be taken; then the client's sending pauses too.
        """
        message = first or await self._receive()
        while message["type"] != "http.disconnect":
            self._take(message.get("body", b""))
            if not message.get("more_body", False) and not self._complete:
                self._complete = True
                self._end_line()
            self._news.set()
            while self._waiting > _AHEAD:
                self._room.clear()
                await self._room.wait()
            message = await self._receive()

    async def next(self) -> bytes | None:
        """The next line; waits for it. Raises :class:`EndOfLines` after the last one."""
        while not self._lines:
            if self._complete:
                raise EndOfLines
            self._news.clear()
            await self._news.wait()
        line = self._lines.popleft()
        self._waiting -= len(line or b"")
        self._room.set()
        return line

    def _take(self, chunk: bytes) -> None:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._keep(part)
            self._end_line()
        self._keep(rest)

    def _keep(self, part: bytes) -> None:
        self._rest_size += len(part)
        if self._rest_size > self._max_line:
            self._rest.clear()
        elif part:
            self._rest.append(part)

    def _end_line(self) -> None:
        if self._rest_size > self._max_line:
            self._lines.append(None)
        else:
            line = b"".join(self._rest).strip()
            if line:
                self._lines.append(line)
                self._waiting += len(line)
        self._rest.clear()
        self._rest_size = 0
