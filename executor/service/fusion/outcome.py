"""A script's result in the words of SandboxFusion's API.

========================  ==============  =====================  ==============
status of the script      status          status of the process  return code
========================  ==============  =====================  ==============
ok                        Success         Finished               0
error, process_limit      Failed          Finished               exit code
wall_limit, cpu_limit     Failed          TimeLimitExceeded      null
memory_limit              Failed          Finished               exit code or -9
output_limit              Failed          Finished               -9
forbidden, crashed        Failed          Finished               -signal
infra                     SandboxError    (none)
========================  ==============  =====================  ==============

Output beyond the limit ends the process, so it counts as killed: a return code is there, which the
official client needs, and every scorer sees a failure. Nothing is ever cut from a ``Success``.
"""

from __future__ import annotations

import signal

from executor.models import ScriptResult, Status
from executor.service.fusion.models import CommandRunResult, CommandStatus, RunStatus

_UNREMARKABLE = (Status.OK, Status.ERROR)
_TIME_LIMITS = (Status.WALL_LIMIT, Status.CPU_LIMIT)


def run_status(result: ScriptResult) -> RunStatus:
    """The end of the request."""
    if result.status is Status.INFRA:
        return RunStatus.SANDBOX_ERROR
    return RunStatus.SUCCESS if result.status is Status.OK else RunStatus.FAILED


def message(result: ScriptResult) -> str:
    """Empty, or the limit that was hit."""
    if result.status in _UNREMARKABLE:
        return ""
    return f"{result.status}: {result.detail}"


def command(result: ScriptResult) -> CommandRunResult | None:
    """The script's process; ``None`` if there was none."""
    if result.status is Status.INFRA:
        return None
    timed_out = result.status in _TIME_LIMITS
    return CommandRunResult(
        status=CommandStatus.TIME_LIMIT if timed_out else CommandStatus.FINISHED,
        execution_time=result.usage.wall_ms / 1000,
        return_code=None if timed_out else _return_code(result),
        stdout=result.stdout.decode("utf-8", "replace"),
        stderr=result.stderr.decode("utf-8", "replace"),
    )


def _return_code(result: ScriptResult) -> int:
    if result.exit_code is not None:
        return result.exit_code
    return -(result.signal or signal.SIGKILL)
