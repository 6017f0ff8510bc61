"""Routes that take one JSON object and answer with one: documented by FastAPI, served without it.

FastAPI's own reading and writing of bodies costs more than a warm run. These routes keep its router
and its documentation and go from bytes to model and back themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from executor.service.errors import ClientGone, ErrorBody, unprocessable
from executor.service.http.reading import Unreadable, check_type, parse, read_body
from executor.service.http.state import Service, service_of
from executor.service.work.gateway import Gateway
from executor.service.work.interruption import Interruption
from executor.service.work.waivers import HEADER

JSON = "application/json"

FACTS = "executor.facts"
"""Key of a request's scope: what its line in the log says in addition."""
GONE = "executor.gone"
"""Key of a request's scope: the client went away after the answer was begun."""

type Work[M: BaseModel] = Callable[[Gateway, M], Awaitable[BaseModel]]
type Reader[M: BaseModel] = Callable[[type[M], bytes], M]

_REFUSALS = {
    401: "No valid token",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The body is not what it should be",
    429: "Too much work is waiting already; see Retry-After",
    503: "The service is starting, stopping or not able to work; see Retry-After",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text} for status, text in _REFUSALS.items()
}
"""For ``responses`` of routes that do work."""


WEAKNESSES: dict[str, dict[str, Any]] = {
    HEADER: {
        "description": "Probes of the sandbox that this server waives and that are not known to "
        "hold on it, with commas between them. Absent where there is none.",
        "schema": {"type": "string"},
    }
}
"""For ``headers`` of the answers of routes that do work."""


class LeanRoute(APIRoute):
    """A route whose endpoint takes the request and returns the response, as in Starlette."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself: nothing is resolved, nothing is validated."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


def post[M: BaseModel](
    router: APIRouter,
    path: str,
    work: Work[M],
    *,
    takes: type[M],
    gives: type[BaseModel],
    summary: str,
    description: str,
    read: Reader[M] | None = None,
) -> None:
    """Add a route that reads a ``takes``, has ``work`` done and answers with what that returns.

    ``work`` is admitted by the gateway that it is given, and cancelled if the client goes away or
    the server stops. It may raise :class:`ApiError`. ``read`` makes the model of a body, or raises
    :class:`ApiError`; by default bodies are read as strictly as can be.
    """
    router.add_api_route(
        path,
        _endpoint(work, takes, read or _parse),
        methods=["POST"],
        response_model=None,
        responses={
            200: {"model": gives, "description": "The outcome", "headers": WEAKNESSES},
            **REFUSALS,
        },
        openapi_extra=body_schema(takes, JSON),
        route_class_override=LeanRoute,
        summary=summary,
        description=description,
        name=path.strip("/").replace("/", "_"),
    )


def _endpoint[M: BaseModel](
    work: Work[M], takes: type[M], read: Reader[M]
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        service = service_of(request.scope)
        service.admission.check_open()
        headers = dict(request.scope["headers"])
        check_type(headers)
        raw = await read_body(
            request.receive,
            headers,
            limit=service.settings.max_body_mib << 20,
            seconds=service.settings.body_s,
        )
        service.bodies.take(len(raw))
        try:
            item = read(takes, raw)
            result = await while_wanted(service, request.receive, work(service.gateway, item))
        finally:
            service.bodies.give_back(len(raw))
        return Response(to_json(result), media_type=JSON)

    return endpoint


def get(
    router: APIRouter, path: str, endpoint: Callable[[Request], Coroutine[Any, Any, Response]],
    *, summary: str, responses: dict[int | str, dict[str, Any]] | None = None,
) -> None:  # fmt: skip
    """Add a route that reads nothing."""
    router.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        response_model=None,
        responses=responses,
        route_class_override=LeanRoute,
        summary=summary,
        name=path.strip("/").replace("/", "_"),
    )


def body_schema(model: type[BaseModel], media_type: str) -> dict[str, Any]:
    """OpenAPI of a request body; :func:`executor.service.http.openapi.describe` adds the model."""
    reference = {"$ref": f"#/components/schemas/{model.__name__}"}
    documented_models.add(model)
    return {"requestBody": {"required": True, "content": {media_type: {"schema": reference}}}}


documented_models: set[type[BaseModel]] = set()
"""Models of request bodies."""


def _parse[M: BaseModel](model: type[M], raw: bytes) -> M:
    try:
        return parse(model, raw)
    except Unreadable as error:
        raise unprocessable(str(error)) from None


async def while_wanted[R](service: Service, receive: Receive, work: Awaitable[R]) -> R:
    """The result of ``work``, unless the client goes away or the server stops before.

    Raises:
        ClientGone: nobody waits for the result any more.
        ApiError: 503, the server stops.
    """
    with service.admission.request() as interruption:
        watcher = asyncio.create_task(_watch(receive, interruption))
        try:
            return await work
        finally:
            watcher.cancel()


async def _watch(receive: Receive, interruption: Interruption) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    interruption.end(ClientGone())


def to_json(result: BaseModel) -> bytes:
    """The JSON of a model, whatever its texts hold."""
    try:
        return result.__pydantic_serializer__.to_json(result)
    except (PydanticSerializationError, UnicodeEncodeError):
        return json.dumps(_encodable(result.model_dump())).encode()


def _encodable(value: Any) -> Any:
    """Lone surrogates have no UTF-8 and are refused by strict readers of JSON: escape them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value
