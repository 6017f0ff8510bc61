"""Refusals: one shape for every route."""

from __future__ import annotations

import json
from collections.abc import Mapping

from executor.errors import ConfigurationError, ExecutorError, InputError, LanguageUnavailable
from executor.models import Model


class ErrorDetail(Model):
    """The reason why a request was refused."""

    code: str
    """For programs; stable."""
    message: str
    """A sentence for people."""
    request_id: str


class ErrorBody(Model):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class ApiError(Exception):
    """Ends a request with a status and a sentence. The text is shown to the client."""

    def __init__(
        self, status: int, code: str, message: str, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that belong to this refusal."""
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers

    def body(self, request_id: str) -> bytes:
        """The JSON of an :class:`ErrorBody`."""
        detail = {"code": self.code, "message": self.message, "request_id": request_id}
        return json.dumps({"error": detail}).encode()


class ClientGone(Exception):
    """The client closed the connection: nobody waits for the answer."""


def unprocessable(message: str) -> ApiError:
    """A request that can be read but not served as it is."""
    return ApiError(422, "invalid_request", message)


def unavailable(message: str, code: str = "unavailable", retry_after_s: int = 5) -> ApiError:
    """The service cannot work now; it says nothing about the request."""
    return ApiError(503, code, message, retry_after_s=retry_after_s)


def from_executor(error: ExecutorError) -> ApiError:
    """Translate an error of the executor for a client: never a score, never a path of the host."""
    if isinstance(error, LanguageUnavailable):
        return ApiError(422, "language_unavailable", str(error))
    if isinstance(error, ConfigurationError | InputError):
        return unprocessable(str(error))
    return unavailable("the executor is not available")
