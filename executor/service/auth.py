"""Who may call: a bearer token, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from pydantic import SecretStr

from executor.service.errors import ApiError

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Served without a token: they tell no more than whether the service works."""


class BearerAuth:
    """Checks the ``Authorization`` header, if a token is set."""

    def __init__(self, token: SecretStr | None) -> None:
        self._digest = _digest(token.get_secret_value().encode()) if token is not None else None

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Let the request pass, or raise :class:`ApiError` (401)."""
        if self._digest is None or path in OPEN_PATHS:
            return
        given = b""
        for name, value in headers:
            if name == b"authorization":
                given = value
        scheme, _, token = given.partition(b" ")
        # digests: comparing them takes the same time whatever the lengths are
        if scheme.lower() == b"bearer" and hmac.compare_digest(_digest(token), self._digest):
            return
        raise ApiError(401, "unauthorized", "this needs a header 'Authorization: Bearer TOKEN'")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token.strip()).digest()
