"""Authorization: a token, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Set

from pydantic import SecretStr

from executor.service.errors import ApiError


class BearerAuth:
    """Checks the ``Authorization`` header, if a token is set."""

    def __init__(self, token: SecretStr | None, open_paths: Set[str]) -> None:
        self._open = open_paths
        self._digest = _digest(token.get_secret_value().encode()) if token is not None else None

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Let the request pass, or raise :class:`ApiError` (401)."""
        if self._digest is None or path in self._open:
            return
        given = b""
        for name, value in headers:
            if name == b"authorization":
                given = value
        # digests: comparing them takes the same time whatever the lengths are
        token = _token(given)
        if token is not None and hmac.compare_digest(_digest(token), self._digest):
            return
        raise ApiError(401, "unauthorized", "this needs a header 'Authorization: Bearer TOKEN'")


def _token(header: bytes) -> bytes | None:
    """The token in a header, if there is one.

    It may also be the password of the basic scheme: clients that can be told no more than an
    address, as those of SandboxFusion, take it in there (``http://any:TOKEN@host``).
    """
    scheme, _, given = header.partition(b" ")
    if scheme.lower() == b"bearer":
        return given
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return None
    return None


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token.strip()).digest()
