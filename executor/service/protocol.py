"""Uvicorn's HTTP protocol with an end to the patience that it has with slow clients."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from executor.service.settings import ServiceSettings


def make_protocol(settings: ServiceSettings) -> type[asyncio.Protocol]:
    """The class of protocols with these settings: uvicorn makes the objects."""

    class Protocol(_Protocol):
        header_s = settings.header_s
        stall_s = settings.stall_s

    return Protocol


class _Protocol(HttpToolsProtocol):
    """Drops a connection whose client sends the head of a request too slowly, goes on with a body
    that has been refused, or reads nothing of what is sent to it.
    """

    header_s: float
    stall_s: float
    _head: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _receiving = False

    def connection_made(self, transport: Any) -> None:
        """A client: its first request must come soon."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._expect_nothing()
        self._unstall()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._receiving = True
        if self._head is None:
            self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there; the body's time is the route's business."""
        self._expect_nothing()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        self._receiving = False
        self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """All is said; what is left of the request is read, but not for long."""
        super().on_response_complete()
        if self._receiving and self._head is None:
            self._expect()

    def pause_writing(self) -> None:
        """The client reads more slowly than we send."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It has read."""
        self._unstall()
        super().resume_writing()

    def _expect(self) -> None:
        self._head = self.loop.call_later(self.header_s, self._drop)

    def _expect_nothing(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _watch(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.stall_s, self._look, unread)

    def _look(self, unread_before: int) -> None:
        if self.transport.get_write_buffer_size() < unread_before:
            self._watch()
        else:
            self._drop()

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _drop(self) -> None:
        # not close(): that waits until everything has been written
        self.transport.abort()
