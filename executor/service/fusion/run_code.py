"""``/run_code``: one program, once."""

from __future__ import annotations

import os

from executor.models import Limits, Script, ScriptResult, Status
from executor.service.errors import ApiError
from executor.service.fusion.files import decode_files, encode_files, wanted_files
from executor.service.fusion.languages import RUNNABLE
from executor.service.fusion.limits import clamped
from executor.service.fusion.models import RunCodeRequest, RunCodeResponse, RunStatus
from executor.service.fusion.outcome import command, message, run_status
from executor.service.fusion.reading import bad
from executor.service.work.gateway import Gateway

_RUNNABLE = f"{', '.join(RUNNABLE[:-1])} and {RUNNABLE[-1]}"
_ATTEMPTS = 3
"""Runs of a script whose sandbox failed. It is gone with all it did, so repeating it is safe; and
not all clients repeat a request themselves (veRL's does not, and scores 0)."""


async def run_code(gateway: Gateway, request: RunCodeRequest, server: Limits) -> RunCodeResponse:
    """Run a program. Raises :class:`ApiError`."""
    language = request.language
    if language not in RUNNABLE:
        return _refusal(f"unsupported language: {language}. This server runs {_RUNNABLE}")
    wanted = wanted_files(request.fetch_files)
    script = Script(
        source=request.code,
        language=language,
        stdin=request.stdin or "",
        argv=tuple(request.args) if language == "pytest" else (),
        files=decode_files(request.files),
        collect=tuple(dict.fromkeys(wanted.values())),
    )
    limits = clamped(
        server,
        wall_s=request.run_timeout,
        memory_mib=request.memory_limit_MB,
        cpu_s=request.cpu_timeout,
    )
    try:
        result = await run_script(gateway, script, limits)
    except LanguageMissing as error:
        return _refusal(f"unsupported language: {error}")
    return RunCodeResponse(
        status=run_status(result),
        message=message(result),
        run_result=command(result),
        executor_pod_name=pod_name(),
        files=encode_files(result.files, wanted),
    )


def _refusal(why: str) -> RunCodeResponse:
    return RunCodeResponse(
        status=RunStatus.SANDBOX_ERROR, message=why, executor_pod_name=pod_name()
    )


class LanguageMissing(Exception):
    """The server's sandboxes lack what the language needs; the text says what."""


async def run_script(gateway: Gateway, script: Script, limits: Limits) -> ScriptResult:
    """Run a script; again if the platform failed.

    Raises:
        ApiError: it cannot be run as it is, or not now.
        LanguageMissing: it cannot be run on this server.
    """
    for _ in range(_ATTEMPTS):
        try:
            result = await gateway.run(script, limits=limits)
        except ApiError as error:
            if error.code == "language_unavailable":
                raise LanguageMissing(error.message) from None
            raise bad(error.message) if error.status == 422 else error from None
        if result.status is not Status.INFRA:
            break
    return result


def pod_name() -> str | None:
    """The deployment's name for this server."""
    return os.environ.get("MY_POD_NAME")
