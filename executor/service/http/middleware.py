"""The envelope of every request: identity, authorization, log line, form of errors."""

from __future__ import annotations

import re
import secrets
import time
import traceback
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from executor.service.errors import ApiError, ClientGone
from executor.service.http.auth import BearerAuth
from executor.service.http.endpoints import FACTS, GONE
from executor.service.http.origin import OriginCheck
from executor.service.http.state import Service
from executor.service.work.tenants import Shared, Tenant, serving
from executor.service.work.waivers import Waivers

_WELL_FORMED_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_CLIENT_GONE = 499
TENANT = "executor.tenant"
"""Key of a request's scope: the name of its tenant."""
_CODES = {404: "not_found", 405: "method_not_allowed"}
_SENTENCES = {404: "there is no such route", 405: "the route does not know this method"}
_log = structlog.get_logger("executor.service.request")


class Envelope:
    """The outermost layer, in plain ASGI: anything that goes wrong below ends here as JSON."""

    def __init__(self, app: ASGIApp, service: Service, open_paths: Set[str]) -> None:
        self._app = app
        self._service = service
        self._auth = BearerAuth(service.settings, open_paths)
        self._origin = OriginCheck(service.settings)
        self._in_hand = Shared(service.settings.requests, service.settings.tenants)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(_request_id(scope), self._service.waivers, send)
        started = time.monotonic()
        scope["executor.request_id"] = answer.request_id.decode()
        try:
            await self._serve(scope, receive, answer)
        finally:
            self._account(scope, answer, time.monotonic() - started)

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            tenant = self._auth.check(scope["path"], scope["headers"])
            scope[TENANT] = tenant.name
            self._origin.check(scope["path"], scope["headers"])
            with self._counted(tenant), serving(tenant):
                await self._app(scope, receive, answer.send)
        except ClientGone:
            answer.status = _CLIENT_GONE
        except ApiError as error:
            if error.status in (429, 503):
                self._service.metrics.rejected(error.code, scope.get(TENANT, ""))
            await answer.refuse(error)
        except HTTPException as error:
            await answer.refuse(_from_starlette(error), error.headers)
        except Exception as error:
            # The message may quote what the client sent: it stays out of the log as well.
            _log.error(
                "failed",
                request_id=answer.request_id.decode(),
                error=type(error).__name__,
                trace=traceback.format_tb(error.__traceback__),
            )
            await answer.refuse(ApiError(500, "internal", "the service made a mistake"))

    @contextmanager
    def _counted(self, tenant: Tenant) -> Iterator[None]:
        """A request in hand. Raises :class:`ApiError` (429): there are too many."""
        if not self._in_hand.take(tenant):
            raise ApiError(429, "too_many_requests", "too many requests are in hand",
                           retry_after_s=1)  # fmt: skip
        try:
            yield
        finally:
            self._in_hand.give(tenant)

    def _account(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        route: Any = scope.get("route")
        template = getattr(route, "path", None) or "unmatched"
        status = _CLIENT_GONE if scope.get(GONE) else answer.status or _CLIENT_GONE
        self._service.metrics.request(template, scope["method"], status, seconds)
        client = scope.get("client")
        _log.info(
            "request",
            request_id=answer.request_id.decode(),
            method=scope["method"],
            route=template,
            status=status,
            ms=round(seconds * 1000, 2),
            bytes=answer.size,
            client=client[0] if client else None,
            **({"tenant": scope[TENANT]} if scope.get(TENANT) else {}),
            **scope.get(FACTS, {}),
        )


class _Answer:
    """The way back to the client: adds the request's id and what is waived, remembers what was
    sent."""

    def __init__(self, request_id: bytes, waivers: Waivers, send: Send) -> None:
        self.request_id = request_id
        self._waivers = waivers
        self.status = 0
        """Of the answer that was begun; 0 if there is none."""
        self.size = 0
        self._send = send

    async def send(self, message: Message) -> None:
        """ASGI's send."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id),
                *self._waivers.headers,
            ]
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, error: ApiError, headers: Any = None) -> None:
        """Send an error, unless an answer was begun: then cut it, so that nobody takes it as whole.

        Cutting is what happens if the application ends without completing its answer.
        """
        if self.status:
            return
        body = error.body(self.request_id.decode())
        fields = {**(headers or {}), **error.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        raw += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await self.send({"type": "http.response.start", "status": error.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _WELL_FORMED_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode()


def _from_starlette(error: HTTPException) -> ApiError:
    status = error.status_code
    return ApiError(
        status, _CODES.get(status, "refused"), _SENTENCES.get(status, "the request is refused")
    )
