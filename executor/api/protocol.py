"""Protocols that every executor meets, wherever its sandboxes are: type against these.

:class:`executor.Executor` and :class:`executor.client.RemoteExecutor` meet
:class:`ExecutorProtocol`; their blocking forms meet :class:`SyncExecutorProtocol`. Arguments,
results and errors are the same; :class:`executor.Executor` documents them. Calls of a remote
executor may also raise :class:`executor.errors.ServiceError`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from executor.api.base import ExecutorInfo
from executor.api.local import ExecutorStats
from executor.models import (
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Script,
    ScriptResult,
    Triplet,
    Verdict,
)


@runtime_checkable
class ExecutorProtocol(Protocol):
    """An asynchronous executor; a context manager, used on one event loop."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def close(self) -> None:
        """End everything. Calls in flight get ``ExecutorClosed``. Safe to call twice."""

    @property
    def info(self) -> ExecutorInfo:
        """Facts about this executor, once it is open."""
        ...

    @property
    def limits(self) -> Limits:
        """Limits of each run, and the most that a call may ask for."""
        ...

    async def validate(self, triplet: Triplet, *, options: Options = Options()) -> Verdict:
        """Decide whether a triplet is a sound task."""
        ...

    async def judge(self, task: JudgeTask, *, options: Options = Options()) -> Judgement:
        """Score the answers of a task."""
        ...

    async def run(self, script: Script, *, limits: Limits | None = None) -> ScriptResult:
        """Run a general script once."""
        ...

    def validate_many(
        self,
        triplets: Iterable[Triplet] | AsyncIterable[Triplet],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[Verdict, None]:
        """Validate a stream of triplets; each verdict's ``index`` is its position."""
        ...

    def judge_many(
        self,
        tasks: Iterable[JudgeTask] | AsyncIterable[JudgeTask],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[Judgement, None]:
        """Judge a stream of tasks; each judgement's ``index`` is its position."""
        ...


class ObservedExecutor(ExecutorProtocol, Protocol):
    """An executor of this machine, which can be watched: what a service is made of."""

    def stats(self) -> ExecutorStats:
        """What it is doing now."""
        ...


@runtime_checkable
class SyncExecutorProtocol(Protocol):
    """An executor behind blocking calls; may be used from several threads."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def close(self) -> None:
        """End everything. Safe to call twice."""

    @property
    def info(self) -> ExecutorInfo:
        """Facts about this executor, once it is open."""
        ...

    @property
    def limits(self) -> Limits:
        """Limits of each run, and the most that a call may ask for."""
        ...

    def validate(self, triplet: Triplet, *, options: Options = Options()) -> Verdict:
        """Decide whether a triplet is a sound task."""
        ...

    def judge(self, task: JudgeTask, *, options: Options = Options()) -> Judgement:
        """Score the answers of a task."""
        ...

    def run(self, script: Script, *, limits: Limits | None = None) -> ScriptResult:
        """Run a general script once."""
        ...

    def validate_many(
        self,
        triplets: Iterable[Triplet],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> Iterator[Verdict]:
        """Validate a stream of triplets; each verdict's ``index`` is its position."""
        ...

    def judge_many(
        self,
        tasks: Iterable[JudgeTask],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> Iterator[Judgement]:
        """Judge a stream of tasks; each judgement's ``index`` is its position."""
        ...
