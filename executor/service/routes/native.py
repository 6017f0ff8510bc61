"""The service's own routes for one item."""

from __future__ import annotations

from fastapi import APIRouter

from executor.models import Judgement, ScriptResult, Verdict
from executor.service.http.endpoints import post
from executor.service.models import JudgeRequest, RunRequest, ValidateRequest
from executor.service.work.gateway import Gateway

router = APIRouter(tags=["native"])


async def validate(gateway: Gateway, item: ValidateRequest, background: bool = False) -> Verdict:
    """Validate one triplet."""
    return await gateway.validate(item, options=item.options, background=background)


async def judge(gateway: Gateway, item: JudgeRequest, background: bool = False) -> Judgement:
    """Judge the answers of one task."""
    return await gateway.judge(item, options=item.options, background=background)


async def run(gateway: Gateway, item: RunRequest, background: bool = False) -> ScriptResult:
    """Run one script."""
    return await gateway.run(item, limits=item.limits, background=background)


post(
    router,
    "/v1/validate",
    validate,
    takes=ValidateRequest,
    gives=Verdict,
    summary="Is a triplet a sound task?",
    description="Runs the program on each input in at least two fresh processes that differ.",
)
post(
    router,
    "/v1/judge",
    judge,
    takes=JudgeRequest,
    gives=Judgement,
    summary="What is each answer worth?",
    description="Scores the answers of one task. A score of `null` is no score: mask it.",
)
post(
    router,
    "/v1/run",
    run,
    takes=RunRequest,
    gives=ScriptResult,
    summary="Run a script once",
    description="Runs in a fresh sandbox with a writable directory. Bytes are in base64.",
)
