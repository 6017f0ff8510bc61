"""General scripts in the words of SandboxFusion's API, and its answers as results."""

from __future__ import annotations

import base64
import shlex
import signal
from typing import Any

from executor.backends.sandboxfusion.server import Ran, ServerFault
from executor.errors import InputError, LanguageUnavailable
from executor.models import Limits, Script, ScriptResult, Status, Usage

_LIMITS = {
    status.value: status
    for status in (
        Status.WALL_LIMIT,
        Status.CPU_LIMIT,
        Status.MEMORY_LIMIT,
        Status.OUTPUT_LIMIT,
        Status.PROCESS_LIMIT,
    )
}
_MAIN = "executor_script.py"


def fields_of(script: Script, limits: Limits) -> dict[str, Any]:
    """The fields of the request.

    Raises:
        InputError: the script cannot be sent.
    """
    for path in (*script.files, *script.collect):
        if path.startswith("/") or ".." in path.split("/") or "\0" in path or not path:
            raise InputError(f"the path {path!r} does not lie in the working directory")
    files = {path: base64.b64encode(data).decode() for path, data in script.files.items()}
    fields: dict[str, Any] = {
        "language": script.language,
        "code": script.source,
        "stdin": script.stdin,
        "memory_limit_MB": limits.memory_mib,
        "cpu_timeout": limits.cpu_s,  # a field of our own service; the original ignores it
        "files": files,
        "fetch_files": list(script.collect),
    }
    if script.argv and script.language == "python":
        files[_MAIN] = base64.b64encode(script.source.encode("utf-8", "replace")).decode()
        fields["code"] = (
            "import runpy, sys\n"
            f"sys.argv = {[_MAIN, *script.argv]!r}\n"
            f"runpy.run_path({_MAIN!r}, run_name='__main__')\n"
        )
    elif script.argv and script.language == "bash":
        fields["code"] = f"set -- {shlex.join(script.argv)}\n{script.source}"
    elif script.argv:
        fields["args"] = list(script.argv)  # another field of our own service
    return fields


def result_of(
    ran: Ran | ServerFault, script: Script, limits: Limits, *, backend: str, interpreter: str
) -> ScriptResult:
    """The result of a script.

    Raises:
        LanguageUnavailable: the server does not run the language.
    """
    if isinstance(ran, ServerFault):
        if "unsupported language" in str(ran):
            raise LanguageUnavailable(str(ran))
        return ScriptResult(
            status=Status.INFRA, detail=str(ran), backend=backend, interpreter=interpreter
        )
    most = limits.output_kib << 10
    status, detail = _end(ran, limits)
    if status in (Status.OK, Status.ERROR) and max(len(ran.stdout), len(ran.stderr)) > most:
        status, detail = Status.OUTPUT_LIMIT, f"wrote more than {limits.output_kib} KiB"
    code = None if status is Status.OUTPUT_LIMIT else ran.return_code
    killed = ran.return_code is not None and ran.return_code < 0
    return ScriptResult(
        status=status,
        exit_code=None if killed else code,
        signal=-ran.return_code if killed and ran.return_code is not None else None,
        stdout=ran.stdout[:most],
        stderr=ran.stderr[:most],
        files={path: data for path, data in ran.files.items() if path in script.collect},
        detail=detail,
        usage=Usage(wall_ms=round(ran.seconds * 1000, 3)),
        backend=backend,
        interpreter=interpreter,
    )


def _end(ran: Ran, limits: Limits) -> tuple[Status, str]:
    told, _, detail = ran.message.partition(": ")
    if told in _LIMITS:  # our own service says more than the original
        return _LIMITS[told], detail
    if ran.status == "TimeLimitExceeded":
        return Status.WALL_LIMIT, f"the script ran longer than {limits.wall_s:g} s"
    code = ran.return_code
    if code is None:
        return Status.INFRA, f"the server says neither how it ended nor why: {ran.status}"
    if code == -signal.SIGSYS:
        return Status.FORBIDDEN, "the script made a system call that is not allowed"
    if code < 0:
        return Status.CRASHED, f"the script was ended by signal {-code}"
    return (Status.OK if code == 0 else Status.ERROR), f"exit code {code}"
