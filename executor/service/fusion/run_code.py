"""``/run_code``: one program, once."""

from __future__ import annotations

import os
from typing import Any

from executor.models import Limits, Script, ScriptResult, Status
from executor.service.errors import ApiError
from executor.service.fusion.files import decode_files, encode_files, wanted_files
from executor.service.fusion.languages import RUNNABLE
from executor.service.fusion.limits import clamped
from executor.service.fusion.models import RunCodeRequest, RunCodeResponse, RunStatus
from executor.service.fusion.outcome import command, message, run_status
from executor.service.fusion.reading import bad
from executor.service.gateway import Gateway

_ATTEMPTS = 3
"""Runs of a script whose sandbox failed. It is gone with all it did, so repeating it is safe; and
not all clients repeat a request themselves (veRL's does not, and scores 0)."""


async def run_code(gateway: Gateway, request: RunCodeRequest, server: Limits) -> RunCodeResponse:
    """Run a program. Raises :class:`ApiError`."""
    if request.language not in RUNNABLE:
        return RunCodeResponse(
            status=RunStatus.SANDBOX_ERROR,
            message=f"unsupported language: {request.language}. This server runs "
            f"{', '.join(RUNNABLE[:-1])} and {RUNNABLE[-1]}",
            executor_pod_name=pod_name(),
        )
    wanted = wanted_files(request.fetch_files)
    named: dict[str, Any] = {} if request.language == "python" else {"language": request.language}
    script = Script(
        **named,
        source=request.code,
        stdin=request.stdin or "",
        argv=tuple(request.args) if request.language == "pytest" else (),
        files=decode_files(request.files),
        collect=tuple(dict.fromkeys(wanted.values())),
    )
    limits = clamped(server, wall_s=request.run_timeout, memory_mib=request.memory_limit_MB)
    result = await run_script(gateway, script, limits)
    return RunCodeResponse(
        status=run_status(result),
        message=message(result),
        run_result=command(result),
        executor_pod_name=pod_name(),
        files=encode_files(result.files, wanted),
    )


async def run_script(gateway: Gateway, script: Script, limits: Limits) -> ScriptResult:
    """Run a script; again if the platform failed. Raises :class:`ApiError`."""
    for _ in range(_ATTEMPTS):
        try:
            result = await gateway.run(script, limits=limits)
        except ApiError as error:
            raise bad(error.message) if error.status == 422 else error from None
        if result.status is not Status.INFRA:
            break
    return result


def pod_name() -> str | None:
    """What the deployment calls this server."""
    return os.environ.get("MY_POD_NAME")
