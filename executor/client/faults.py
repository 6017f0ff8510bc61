"""Faults of a request, and what they mean for the caller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from executor.errors import (
    ConfigurationError,
    ExecutorError,
    InputError,
    ServiceError,
)

_MAX_RETRY_AFTER_S = 60.0
_MAX_MESSAGE = 500
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_INPUT = frozenset({400, 413, 415, 422})


class Fault(Exception):
    """The platform failed or is busy: the same request may succeed later, or elsewhere."""

    def __init__(
        self,
        reason: str,
        *,
        started: bool,
        too_much: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.started = started
        """Whether the service may have begun the work."""
        self.too_much = too_much
        """The service is well, but has too much to do already."""
        self.retry_after_s = retry_after_s
        """Seconds for which it asks to be left alone."""


def refusal(url: str, status: int, headers: Mapping[str, str], body: bytes) -> Exception:
    """The exception for an answer that is not a success: a :class:`Fault`, or an error to raise."""
    message = _message(body) or f"HTTP status {status}"
    if status in _AGAIN:
        return Fault(
            f"{url}: {message}",
            started=status not in (429, 503),
            too_much=status == 429,
            retry_after_s=_retry_after(headers.get("retry-after", "")),
        )
    return _final(url, status, message)


def _final(url: str, status: int, message: str) -> ExecutorError:
    if status in _INPUT:
        return InputError(message)
    if status in (401, 403):
        return ConfigurationError(f"{url} refuses this client: {message}")
    if status in (404, 405) or 300 <= status < 400:
        return ConfigurationError(f"{url} is not an executor service: {message}")
    return ServiceError(f"{url}: {message}")


def _message(body: bytes) -> str:
    """The service's own sentence; hostile text."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        error = json.loads(body)["error"]
        return str(error["message"])[:_MAX_MESSAGE]
    return ""


def _retry_after(text: str) -> float | None:
    with suppress(ValueError):
        return min(_MAX_RETRY_AFTER_S, max(0.0, float(text)))
    return None
