"""The service's own routes for batches."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from executor.models import Judgement, Model, ScriptResult, Status, Verdict
from executor.service.errors import unprocessable
from executor.service.http.endpoints import REFUSALS, WEAKNESSES, LeanRoute, body_schema
from executor.service.http.reading import check_type
from executor.service.http.state import service_of
from executor.service.models import (
    BatchEnd,
    JudgeRequest,
    RunLine,
    RunRequest,
    ValidateRequest,
)
from executor.service.routes import native
from executor.service.routes.stream import MEDIA_TYPE, BatchResponse, LineKind
from executor.service.work.gateway import Gateway
from executor.verification.failures import failed_judgement, failed_verdict

router = APIRouter(tags=["batches"])

_DESCRIPTION = """Each line of the body is the body of a single call. Each line of the answer is a
result with `index`, the position of its line from 0; blank lines do not count. Results come as they
finish, while the request is still being read; with `?ordered=true` in order of the lines.

A line that cannot be read has the status `malformed`, and the others go on. The last line is
`{"end": true, "items": N}`. Without it the connection was cut. With `"end": false` the server had
to stop; lines without a result were not worked on."""

_TRUE = ("true", "1")
_FALSE = ("false", "0")


async def _validate(gateway: Gateway, item: ValidateRequest, index: int) -> Verdict:
    verdict = await native.validate(gateway, item, background=True)
    return verdict.model_copy(update={"index": index})


async def _judge(gateway: Gateway, item: JudgeRequest, index: int) -> Judgement:
    judgement = await native.judge(gateway, item, background=True)
    return judgement.model_copy(update={"index": index})


async def _run(gateway: Gateway, item: RunRequest, index: int) -> RunLine:
    result = await native.run(gateway, item, background=True)
    fields = {name: getattr(result, name) for name in ScriptResult.model_fields}
    return RunLine.model_construct(index=index, **fields)


def _malformed_verdict(index: int, detail: str) -> dict[str, Any]:
    return {
        "index": index,
        "id": None,
        "status": Status.MALFORMED,
        "valid": False,
        "outputs": (),
        "matches": None,
        "detail": detail,
    }


def _malformed_judgement(index: int, detail: str) -> dict[str, Any]:
    # `status` and `detail` are not in the model: how many answers there were is not known
    return {
        "index": index,
        "id": None,
        "status": Status.MALFORMED,
        "detail": detail,
        "scores": (),
        "statuses": (),
        "details": (),
    }


def _malformed_result(index: int, detail: str) -> dict[str, Any]:
    return {"index": index, "status": Status.MALFORMED, "exit_code": None, "detail": detail}


def _failed_run(index: int, _item: RunRequest, error: Exception) -> RunLine:
    detail = f"the platform failed on this line: {type(error).__name__}"
    return RunLine(index=index, status=Status.INFRA, detail=detail)


def _add[M: BaseModel](path: str, kind: LineKind[M], gives: type[Model], summary: str) -> None:
    async def endpoint(request: Request) -> Response:
        service = service_of(request.scope)
        service.admission.check_open()
        check_type(dict(request.scope["headers"]), lines=True)
        response: Any = BatchResponse(service, kind, ordered=_ordered(request))
        return response  # type: ignore[no-any-return] # an ASGI application, as responses are

    schema = body_schema(kind.takes, MEDIA_TYPE)
    schema["parameters"] = [
        {
            "name": "ordered",
            "in": "query",
            "description": "Results in order of the lines",
            "schema": {"type": "boolean", "default": False},
        }
    ]
    router.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        response_model=None,
        responses={
            200: {
                "description": "A result for each line, then the end",
                "headers": WEAKNESSES,
                "content": {MEDIA_TYPE: {"schema": _either(gives)}},
            },
            **{status: more for status, more in REFUSALS.items() if status not in (408, 413, 422)},
        },
        openapi_extra=schema,
        route_class_override=LeanRoute,
        summary=summary,
        description=_DESCRIPTION,
        name=path.strip("/").replace("/", "_"),
    )


def _either(gives: type[Model]) -> dict[str, Any]:
    references = []
    for model in (gives, BatchEnd):
        body_schema(model, MEDIA_TYPE)
        references.append({"$ref": f"#/components/schemas/{model.__name__}"})
    return {"anyOf": references}


def _ordered(request: Request) -> bool:
    given = request.query_params.get("ordered", "false").lower()
    if given not in _TRUE + _FALSE:
        raise unprocessable("'ordered' must be true or false")
    return given in _TRUE


_add(
    "/v1/validate/batch",
    LineKind(ValidateRequest, _validate, _malformed_verdict, failed_verdict),
    Verdict,
    "Validate many triplets",
)
_add(
    "/v1/judge/batch",
    LineKind(JudgeRequest, _judge, _malformed_judgement, failed_judgement),
    Judgement,
    "Judge many",
)
_add(
    "/v1/run/batch",
    LineKind(RunRequest, _run, _malformed_result, _failed_run),
    RunLine,
    "Run many scripts",
)
