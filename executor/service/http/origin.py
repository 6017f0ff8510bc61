"""That no web page can use a service which asks for no token.

A browser on the same machine reaches a loopback address for any page that it shows. Its requests
name the page (``Origin``) or, where the page's own name was made to resolve to this machine
(DNS rebinding), that name (``Host``). With a token neither matters: a page does not have it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from executor.service.errors import ApiError
from executor.service.settings import ServiceSettings, is_loopback

_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Say that there is a service, and no more: whoever watches it may call it what they like."""


class OriginCheck:
    """Checks ``Host`` and ``Origin`` of requests to a service without a token.

    ``Host`` must be a loopback address, ``localhost``, or a name that the settings give; of a
    service for other machines (``allow_anonymous``) it may be any. ``Origin``, which browsers add,
    must be the service's own page.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._anonymous = not settings.wants_token
        exposed = settings.exposed_host or settings.host
        self._any_host = not is_loopback(exposed)
        self._known = {name.lower() for name in (settings.host, exposed, *settings.allowed_hosts)}

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Let the request pass, or raise :class:`ApiError` (403)."""
        if not self._anonymous or path in _OPEN_PATHS:
            return
        hosts, origins = [], []
        for name, value in headers:
            if name == b"host":
                hosts.append(value.decode("latin-1").strip().lower())
            elif name == b"origin":
                origins.append(value.decode("latin-1").strip().lower())
        if not (self._any_host or all(map(self._is_ours, hosts))):
            raise ApiError(
                403, "foreign_host", "the Host of the request is not a name of this service "
                "(a token, or --allowed-host NAME, lets it in)",
            )  # fmt: skip
        if any(_place(origin) not in hosts for origin in origins):
            raise ApiError(403, "foreign_origin", "pages of other sites may not use this service")

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if any(mark in host for mark in "/?#@\\"):
            return False
        return name in self._known or name == "localhost" or _is_loopback_address(name)


def _is_loopback_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _place(origin: str) -> str | None:
    """Host and port of an origin, as ``Host`` has them; ``None`` for ``null`` and the like."""
    scheme, mark, place = origin.partition("://")
    return place if mark and scheme in ("http", "https") else None
