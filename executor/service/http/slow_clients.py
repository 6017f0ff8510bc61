"""Uvicorn's HTTP protocol with an end to the patience that it has with slow and endless clients."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from executor.service.errors import ApiError
from executor.service.settings import ServiceSettings

MAX_HEAD_BYTES = 64 * 1024
"""Of all that is no body: the first line of a request with its headers, or what stands between and
after the pieces of a chunked body (its trailers are headers too)."""

_PIECE_BYTES = 16 * 1024
"""Given to the parser at a time, so that it never joins more than it may keep."""
_LAST_WORDS_S = 2.0
"""For a client to read why it is refused, while what it still sends is thrown away."""


def make_protocol(settings: ServiceSettings) -> type[asyncio.Protocol]:
    """The class of protocols with these settings: uvicorn makes the objects."""

    class Protocol(_Protocol):
        header_s = settings.header_s
        stall_s = settings.stall_s

    return Protocol


class _Protocol(HttpToolsProtocol):
    """Drops a connection whose client sends the head of a request too slowly, goes on with a body
    that has been refused, or reads nothing of what is sent to it. Refuses a head that is too long.
    """

    header_s: float
    stall_s: float
    _bare = 0
    """Bytes since the last that were of a body, or ended a head or a request."""
    _refused = False
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

    def data_received(self, data: bytes) -> None:
        """Give the parser what has come, as far as it may keep it."""
        at = 0
        while at < len(data) and not self._refused and not self.transport.is_closing():
            room = min(_PIECE_BYTES, MAX_HEAD_BYTES - self._bare)
            if room <= 0:
                self._refuse_head()
                return
            piece = data[at : at + room]
            at += room
            self._bare += len(piece)
            super().data_received(piece)
        # Uvicorn takes any byte for the beginning of a request, and waits no longer for one.
        if self._head is None and self._is_idle():
            self._expect()

    def _is_idle(self) -> bool:
        return not self._receiving and (self.cycle is None or self.cycle.response_complete)

    def _refuse_head(self) -> None:
        self._refused = True
        self._expect_nothing()
        self._unset_keepalive_if_required()
        if self.cycle is not None and not self.cycle.response_complete:
            self._drop()  # it is in the middle of another answer
            return
        request_id = secrets.token_hex(8)
        error = ApiError(
            431, "head_too_large", f"the head of a request may have {MAX_HEAD_BYTES} bytes"
        )
        body = error.body(request_id)
        head = (
            "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._head = self.loop.call_later(_LAST_WORDS_S, self._drop)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._bare = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._receiving = True
        if self._head is None:
            self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there; the body's time is the route's business."""
        self._bare = 0
        self._expect_nothing()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        self._bare = 0
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
