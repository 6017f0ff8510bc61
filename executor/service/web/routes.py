"""Routes of the page. Its files hold no secret, so they need no token; its calls do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from executor.service.http.endpoints import LeanRoute

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/static/style.css": ("style.css", "text/css; charset=utf-8"),
}

PATHS = frozenset(_FILES)
"""Files that the page consists of."""

_HEADERS = {
    # Nothing from elsewhere, nothing inline: text of programs stays text whatever it holds.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


def _file(name: str, kind: str) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    content = files("executor.service.web").joinpath(name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {**_HEADERS, "etag": tag}

    async def endpoint(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "content-type": kind})

    return endpoint


router = APIRouter()
for _path, (_name, _kind) in _FILES.items():
    router.add_api_route(
        _path,
        _file(_name, _kind),
        methods=["GET", "HEAD"],
        response_model=None,
        route_class_override=LeanRoute,
        include_in_schema=False,
    )
