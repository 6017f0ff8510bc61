"""Run, validate and judge model-written Python in a warm, hardened sandbox.

    async with Executor(backend="nsjail") as executor:
        verdict = await executor.validate(Triplet(program=..., inputs=("1, 2",)))

:class:`SyncExecutor` is the same for code that is not asynchronous. Errors: see
:mod:`executor.errors`; outcomes: see :class:`Status`.
"""

from executor.api.base import ExecutorInfo
from executor.api.blocking import SyncExecutor
from executor.api.differential import DifferentialExecutor
from executor.api.local import Executor, ExecutorStats
from executor.api.loop_thread import LoopThread
from executor.api.protocol import ExecutorProtocol, SyncExecutorProtocol
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
    LanguageUnavailable,
    MalformedRow,
    ProtocolError,
    ServiceError,
    ServiceUnavailable,
    UnknownBackend,
)
from executor.fleet.processes import ProcessFleet
from executor.fleet.ray.fleet import RayFleet
from executor.formats.readers import read_row
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
from executor.store.settings import StoreSettings

__all__ = [
    "JUDGE_RULES",
    "BackendSettings",
    "BackendUnavailable",
    "Case",
    "Compare",
    "ConfigurationError",
    "DifferentialExecutor",
    "DockerSettings",
    "Executor",
    "ExecutorClosed",
    "ExecutorError",
    "ExecutorInfo",
    "ExecutorProtocol",
    "ExecutorStats",
    "GvisorSettings",
    "InputError",
    "JudgeTask",
    "Judgement",
    "LanguageUnavailable",
    "Limits",
    "LoopThread",
    "MalformedRow",
    "NsjailSettings",
    "Options",
    "ProcessFleet",
    "ProcessSettings",
    "ProtocolError",
    "RayFleet",
    "Rules",
    "SandboxFusionSettings",
    "Script",
    "ScriptResult",
    "ServiceError",
    "ServiceUnavailable",
    "Signal",
    "Status",
    "StoreSettings",
    "SyncExecutor",
    "SyncExecutorProtocol",
    "TaskType",
    "Triplet",
    "UnknownBackend",
    "Usage",
    "Verdict",
    "read_row",
]
