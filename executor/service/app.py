"""The application: routes, in the envelope that all requests pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request

from executor.api.protocol import ObservedExecutor
from executor.service.errors import ApiError, ClientGone
from executor.service.fusion.routes import make_router as make_fusion_router
from executor.service.http.middleware import Envelope
from executor.service.http.openapi import describe
from executor.service.http.state import Service, make_service
from executor.service.routes import batches, native, operations
from executor.service.settings import ServiceSettings
from executor.service.web import routes as web
from executor.version import version

_DESCRIPTION = """Runs, validates and judges model-written Python in a warm, hardened sandbox.

Errors have one shape: `{"error": {"code", "message", "request_id"}}`. A program that fails, a wrong
answer or a limit that was hit is a result, not an error. The status `infra` is never a score.

At its start the server tries each limit and each wall of its sandbox, and takes no work if one does
not hold, unless its configuration waives that one by name. Then every result has `weaknesses`: the
names of those that are waived and not known to hold (see `/readyz` and `/v1/info`)."""


def create_app(settings: ServiceSettings, executor: ObservedExecutor) -> FastAPI:
    """Make the application around an executor that is open; its owner closes it afterwards.

    ``app.state.service`` is the :class:`executor.service.http.state.Service` of all routes.
    """
    service = make_service(settings, executor)
    app = FastAPI(
        title="Absolute Zero Executor",
        version=version(),
        description=_DESCRIPTION,
        lifespan=_lifespan,
        redoc_url=None,
        redirect_slashes=False,
        # newer versions of FastAPI would record the messages of exceptions
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = service
    for router in (
        native.router,
        batches.router,
        operations.router,
        make_fusion_router(executor.limits),
        web.router,
    ):
        app.include_router(router)
    for error in (ApiError, ClientGone, HTTPException):
        app.add_exception_handler(error, _pass_on)
    app.add_middleware(Envelope, service=service, open_paths=_open_paths(settings))
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(describe(app, with_token=settings.wants_token))
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _open_paths(settings: ServiceSettings) -> frozenset[str]:
    """Served without a token: whether the service works, and the page that asks for the token."""
    always = {"/healthz", "/readyz", *web.PATHS}
    return frozenset(always | ({"/metrics"} if settings.open_metrics else set()))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    proving = asyncio.create_task(service.readiness.prove())
    try:
        yield
    finally:
        proving.cancel()
        await asyncio.wait([proving])


async def _pass_on(request: Request, error: Exception) -> Any:
    """Errors are answered in one place: the envelope."""
    raise error
