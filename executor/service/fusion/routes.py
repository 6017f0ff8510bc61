"""The routes of SandboxFusion's API."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import RootModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from executor.formats.fusion import KINDS
from executor.models import Limits
from executor.service.fusion.datasets import (
    BatchRequest,
    Prompt,
    PromptRequest,
    PromptsRequest,
    SubmitRequest,
    SubmitResult,
    prompt,
    prompts,
    submit,
    submit_batch,
)
from executor.service.fusion.models import (
    RunCodeRequest,
    RunCodeResponse,
    RunJupyterRequest,
    RunJupyterResponse,
)
from executor.service.fusion.notebook import run_notebook
from executor.service.fusion.reading import read
from executor.service.fusion.run_code import run_code
from executor.service.http.endpoints import JSON, LeanRoute, get, post
from executor.service.work.gateway import Gateway

_NOT_OFFERED = {
    "/list_ids": "POST",
    "/get_metrics": "POST",
    "/get_metrics_function": "POST",
}


def make_router(limits: Limits) -> APIRouter:
    """Make the routes for a server that allows ``limits``."""
    router = APIRouter(tags=["SandboxFusion"])
    _add_runs(router, limits)
    _add_prompts(router)
    _add_judgements(router, limits)
    get(router, "/list_datasets", _datasets, summary="The data sets whose rows are known")
    get(router, "/v1/ping", _ping, summary="Is the server there?")
    for path, method in _NOT_OFFERED.items():
        router.add_api_route(
            path, _not_offered, methods=[method], route_class_override=LeanRoute,
            include_in_schema=False, response_model=None,
        )  # fmt: skip
    return router


def _add_runs(router: APIRouter, limits: Limits) -> None:
    post(
        router,
        "/run_code",
        lambda gateway, request: run_code(gateway, request, limits),
        takes=RunCodeRequest,
        gives=RunCodeResponse,
        read=read,
        summary="Run a program once",
        description="SandboxFusion's API, for `python`, `pytest` and `bash`. Limits above the "
        "server's are lowered to them. `message` says which limit was hit.",
    )
    post(
        router,
        "/run_jupyter",
        lambda gateway, request: run_notebook(gateway, request, limits),
        takes=RunJupyterRequest,
        gives=RunJupyterResponse,
        read=read,
        summary="Run cells in a fresh kernel",
        description="SandboxFusion's API. Cells after one that raises are run too.",
    )


def _add_prompts(router: APIRouter) -> None:
    post(
        router,
        "/get_prompts",
        _prompts,
        takes=PromptsRequest,
        gives=Prompts,
        read=read,
        summary="The prompts of rows that are sent along",
        description="SandboxFusion's API. The rows are in `config.provided_data`.",
    )
    post(
        router,
        "/get_prompt_by_id",
        _prompt,
        takes=PromptRequest,
        gives=Prompt,
        read=read,
        summary="One of them",
        description="SandboxFusion's API.",
    )


def _add_judgements(router: APIRouter, limits: Limits) -> None:
    post(
        router,
        "/submit",
        lambda gateway, request: submit(gateway, request, limits),
        takes=SubmitRequest,
        gives=SubmitResult,
        read=read,
        summary="Judge an answer to a row that is sent along",
        description="SandboxFusion's API, for the Python data sets of HumanEval, MBPP, MHPP, "
        "CodeContests, LiveCodeBench, BigCodeBench and AutoEval. Expected values stay outside the "
        "sandbox.",
    )
    post(
        router,
        "/common_evaluate_batch",
        lambda gateway, request: submit_batch(gateway, request, limits),
        takes=BatchRequest,
        gives=SubmitResult,
        read=read,
        summary="Judge an answer by tests that are sent along",
        description="ScaleBox's API, for Python: `config.provided_data.test_cases` of the types "
        "`stdin_stdout`, `function_call` and `assert`.",
    )


async def _ping(request: Request) -> Response:
    """The original's answer."""
    return Response(b'"pong"', media_type=JSON)


async def _datasets(request: Request) -> Response:
    """Names of the original's classes."""
    return JSONResponse(sorted(KINDS.values()))


class Prompts(RootModel[list[Prompt]]):
    """Several prompts."""


async def _prompts(_gateway: Gateway, request: PromptsRequest) -> Prompts:
    return Prompts(prompts(request))


async def _prompt(_gateway: Gateway, request: PromptRequest) -> Prompt:
    return prompt(request)


async def _not_offered(request: Request) -> Response:
    """Routes that need data sets of the server's own."""
    sentence = (
        f"{request.url.path} is not offered: this server runs code, it has no data sets. "
        "Use /run_code, /run_jupyter, /v1/validate or /v1/judge"
    )
    return JSONResponse({"detail": sentence}, 501)
