"""Several executors that do the same work, and a report where they disagree.

async with DifferentialExecutor(Executor("nsjail"), Executor("docker")) as executor:
    verdict = await executor.validate(triplet)
    print(verdict.status, verdict.disagreement)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

from pydantic import BaseModel

from executor.api.base import Closing, ExecutorInfo
from executor.api.protocol import ExecutorProtocol
from executor.api.streaming import ITEMS_PER_WORKER, stream
from executor.errors import ConfigurationError, ExecutorClosed
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
from executor.tasks import end_all

_SHOWN_CHARACTERS = 100

_VERDICT_FACTS = ("status", "valid", "outputs", "matches")
_JUDGEMENT_FACTS = ("statuses", "scores")
_SCRIPT_FACTS = ("status", "exit_code", "signal", "stdout", "stderr", "files")


class ComparedVerdict(Verdict):
    """The first executor's verdict."""

    disagreement: str | None = None
    """The difference that another executor found; ``None``: all agree."""


class ComparedJudgement(Judgement):
    """The first executor's judgement."""

    disagreement: str | None = None
    """The difference that another executor found; ``None``: all agree."""


class ComparedScriptResult(ScriptResult):
    """The first executor's result of a script."""

    disagreement: str | None = None
    """The difference that another executor found; ``None``: all agree."""


class DifferentialExecutor(Closing):
    """Does every item on all of its executors; results are the first one's, and say where another
    one's differ.

    Statuses, outputs, scores and what scripts write are compared; usage, keys and details are not.
    An ``infra`` on one side only counts as a difference, for nothing has been confirmed then.

    The methods are those of :class:`~executor.api.protocol.ExecutorProtocol`. They are entered
    and closed with this one; they must not be open before.

    Raises:
        ConfigurationError: from the constructor, for less than two executors.
        ExecutorError: whatever one of the executors raises; the others' calls are cancelled then.
    """

    def __init__(
        self, first: ExecutorProtocol, second: ExecutorProtocol, *more: ExecutorProtocol
    ) -> None:
        self._executors: tuple[ExecutorProtocol, ...] = (first, second, *more)
        if len({id(executor) for executor in self._executors}) < len(self._executors):
            raise ConfigurationError("an executor cannot be compared with itself")
        self._stack: AsyncExitStack | None = None
        self._names: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for executor in self._executors:
                await stack.enter_async_context(executor)
            self._names = _distinct([executor.info.backend for executor in self._executors])
            self._stack = stack.pop_all()
        return self

    async def close(self) -> None:
        """Close all executors. Safe to call twice."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    @property
    def info(self) -> ExecutorInfo:
        """All backends and interpreters; isolated if all are."""
        infos = [executor.info for executor in self._executors]
        names = _distinct([info.backend for info in infos])
        return ExecutorInfo(
            backend=", ".join(names),
            interpreter=", ".join(dict.fromkeys(info.interpreter for info in infos)),
            isolated=all(info.isolated for info in infos),
            workers=sum(info.workers for info in infos),
            warnings=tuple(
                f"{name}: {warning}"
                for name, info in zip(names, infos, strict=True)
                for warning in info.warnings
            ),
            process_reuse="reset" if all(i.process_reuse == "reset" for i in infos) else "fork",
        )

    @property
    def limits(self) -> Limits:
        """The least of the executors' limits."""
        return Limits.least(executor.limits for executor in self._executors)

    async def validate(self, triplet: Triplet, *, options: Options = Options()) -> ComparedVerdict:
        """See :meth:`executor.Executor.validate`."""
        return await self._validate(0, triplet, options)

    async def judge(self, task: JudgeTask, *, options: Options = Options()) -> ComparedJudgement:
        """See :meth:`executor.Executor.judge`."""
        return await self._judge(0, task, options)

    async def run(self, script: Script, *, limits: Limits | None = None) -> ComparedScriptResult:
        """See :meth:`executor.Executor.run`."""
        wanted = limits or self.limits
        results = await self._on_all(lambda executor: executor.run(script, limits=wanted))
        return self._compared(ComparedScriptResult, results, _SCRIPT_FACTS)

    def validate_many(
        self,
        triplets: Iterable[Triplet] | AsyncIterable[Triplet],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[ComparedVerdict, None]:
        """See :meth:`executor.Executor.validate_many`."""
        work = partial(self._validate, options=options)
        return stream(triplets, work, window=window or self._window(), ordered=ordered)

    def judge_many(
        self,
        tasks: Iterable[JudgeTask] | AsyncIterable[JudgeTask],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[ComparedJudgement, None]:
        """See :meth:`executor.Executor.judge_many`."""
        work = partial(self._judge, options=options)
        return stream(tasks, work, window=window or self._window(), ordered=ordered)

    def _window(self) -> int:
        return ITEMS_PER_WORKER * max(executor.info.workers for executor in self._executors)

    async def _validate(self, index: int, triplet: Triplet, options: Options) -> ComparedVerdict:
        results = await self._on_all(lambda executor: executor.validate(triplet, options=options))
        compared = self._compared(ComparedVerdict, results, _VERDICT_FACTS)
        return compared.model_copy(update={"index": index})

    async def _judge(self, index: int, task: JudgeTask, options: Options) -> ComparedJudgement:
        results = await self._on_all(lambda executor: executor.judge(task, options=options))
        compared = self._compared(ComparedJudgement, results, _JUDGEMENT_FACTS)
        return compared.model_copy(update={"index": index})

    async def _on_all[Result](
        self, call: Callable[[ExecutorProtocol], Awaitable[Result]]
    ) -> list[Result]:
        """The call's result on each executor. An exception of one ends the calls on the others."""
        if self._stack is None:
            raise ExecutorClosed(
                "the executor is not open: use it as 'async with DifferentialExecutor(...)'"
            )
        calls = [asyncio.ensure_future(call(executor)) for executor in self._executors]
        try:
            return await asyncio.gather(*calls)
        finally:
            await end_all(calls)

    def _compared[Compared: BaseModel](
        self, kind: type[Compared], results: Sequence[BaseModel], facts: Sequence[str]
    ) -> Compared:
        first = {name: getattr(results[0], name) for name in type(results[0]).model_fields}
        found = disagreement(self._names, results, facts)
        return kind.model_construct(**{**first, "disagreement": found})


def disagreement(
    names: Sequence[str], results: Sequence[BaseModel], facts: Sequence[str]
) -> str | None:
    """A sentence that names what differs from the first result, and where; ``None`` if nothing
    does."""
    found = [
        f"{where} is {_shown(ours)} on {names[0]} but {_shown(theirs)} on {name}"
        for name, result in zip(names[1:], results[1:], strict=True)
        for fact in facts
        for where, ours, theirs in _differences(
            fact, getattr(results[0], fact), getattr(result, fact)
        )
    ]
    return "; ".join(found) or None


def _differences(fact: str, ours: Any, theirs: Any) -> list[tuple[str, Any, Any]]:
    """The places where two sequences of one length differ, else the whole values."""
    if ours == theirs:
        return []
    if isinstance(ours, tuple) and isinstance(theirs, tuple) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [(f"{fact}[{place}]", a, b) for place, (a, b) in pairs if a != b]
    return [(fact, ours, theirs)]


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, str) else repr(value)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names; those that occur more than once get their place."""
    return tuple(
        f"{name} ({place})" if names.count(name) > 1 else name
        for place, name in enumerate(names, 1)
    )
