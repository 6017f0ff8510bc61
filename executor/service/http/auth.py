"""Authorization: a token, compared in constant time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Set

from executor.service.errors import ApiError
from executor.service.settings import ServiceSettings
from executor.service.work.tenants import ANYONE, Tenant, Tenants


class BearerAuth:
    """Checks the ``Authorization`` header, if a token is set or there are tenants."""

    def __init__(self, settings: ServiceSettings, open_paths: Set[str]) -> None:
        self._open = open_paths
        tenants = settings.tenants
        if settings.token is not None:
            tenants = (ANYONE.model_copy(update={"token": settings.token}),)
        self._tenants = Tenants(tenants) if tenants else None

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Tenant:
        """Whose request it is, or :class:`ApiError` (401)."""
        if self._tenants is None or path in self._open:
            return ANYONE
        given = b""
        for name, value in headers:
            if name == b"authorization":
                given = value
        token = _token(given)
        tenant = self._tenants.find(token) if token is not None else None
        if tenant is not None:
            return tenant
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
