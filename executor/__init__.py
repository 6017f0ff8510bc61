"""Run, validate and judge model-written Python in a warm, hardened sandbox.

    async with Executor(backend="nsjail") as executor:
        verdict = await executor.validate(Triplet(program=..., inputs=("1, 2",)))

:class:`SyncExecutor` is the same for code that is not asynchronous. Errors: see
:mod:`executor.errors`; outcomes: see :class:`Status`.
"""

from executor.api.blocking import SyncExecutor
from executor.api.local import Executor, ExecutorInfo, ExecutorStats
from executor.api.loop_thread import LoopThread
from executor.backends.settings import (
    BackendSettings,
    DockerSettings,
    GvisorSettings,
    NsjailSettings,
    ProcessSettings,
    SandboxFusionSettings,
)
from executor.errors import (
    BackendUnavailable,
    ConfigurationError,
    ExecutorClosed,
    ExecutorError,
    InputError,
    MalformedRow,
    ProtocolError,
    UnknownBackend,
)
from executor.models import (
    JUDGE_RULES,
    Case,
    Compare,
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Rules,
    Script,
    ScriptResult,
    Signal,
    Status,
    TaskType,
    Triplet,
    Usage,
    Verdict,
)

__version__ = "0.1.0"

__all__ = [
    "JUDGE_RULES",
    "BackendSettings",
    "BackendUnavailable",
    "Case",
    "Compare",
    "ConfigurationError",
    "DockerSettings",
    "Executor",
    "ExecutorClosed",
    "ExecutorError",
    "ExecutorInfo",
    "ExecutorStats",
    "GvisorSettings",
    "InputError",
    "JudgeTask",
    "Judgement",
    "Limits",
    "LoopThread",
    "MalformedRow",
    "NsjailSettings",
    "Options",
    "ProcessSettings",
    "ProtocolError",
    "Rules",
    "SandboxFusionSettings",
    "Script",
    "ScriptResult",
    "Signal",
    "Status",
    "SyncExecutor",
    "TaskType",
    "Triplet",
    "UnknownBackend",
    "Usage",
    "Verdict",
    "__version__",
]
