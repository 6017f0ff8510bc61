"""A stand-in for the executor where only the command line's own behaviour is tested."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from executor.cli import make_executor
from executor.models import Judgement, JudgeTask, Script, ScriptResult, Status, Triplet, Verdict


@dataclass(frozen=True)
class Info:
    backend: str = "fake"
    interpreter: str = "CPython 3.12"
    isolated: bool = True
    workers: int = 4
    warnings: tuple[str, ...] = ()


class FakeExecutor:
    """Answers by the program's text: ``slow:SECONDS``, a status, or anything else for ``ok``.

    ``held`` is answered once ``released`` is set. ``taken`` counts the results that whoever
    asked for them has dealt with.
    """

    def __init__(
        self, options: make_executor.ExecutorOptions, info: Info, script_result: ScriptResult
    ) -> None:
        self.options = options
        self.info = info
        self.script_result = script_result
        self.scripts: list[Script] = []
        self.started = 0
        self.taken = 0
        self.released = threading.Event()
        self.closed = False

    async def __aenter__(self) -> FakeExecutor:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def _verdict(self, index: int, triplet: Triplet) -> Verdict:
        self.started += 1
        if triplet.program.startswith("slow:"):
            await asyncio.sleep(float(triplet.program.removeprefix("slow:")))
        if triplet.program == "held":
            await asyncio.to_thread(self.released.wait, 60)
        known = triplet.program in list(Status)
        status = Status(triplet.program) if known else Status.OK
        return Verdict(
            index=index,
            status=status,
            valid=status is Status.OK,
            outputs=triplet.inputs,
            detail=f"{triplet.expects}: {status}",
            key="k",
            backend=self.info.backend,
            interpreter=self.info.interpreter,
        )

    async def _judgement(self, index: int, task: JudgeTask) -> Judgement:
        status = Status.INFRA if task.program == "infra" else Status.OK
        score = None if status is Status.INFRA else 0.5
        count = len(task.answers)
        return Judgement(
            index=index,
            scores=(score,) * count,
            statuses=(status,) * count,
            details=(f"{task.scoring} {task.strict}",) * count,
        )

    def validate_many(self, items: AsyncIterator[Triplet], *, ordered: bool) -> Any:
        return self._many(items, self._verdict, ordered)

    def judge_many(self, items: AsyncIterator[JudgeTask], *, ordered: bool) -> Any:
        return self._many(items, self._judgement, ordered)

    async def run(self, script: Script) -> ScriptResult:
        self.scripts.append(script)
        return self.script_result

    async def _many(
        self, items: AsyncIterator[Any], work: Callable[[int, Any], Any], ordered: bool
    ) -> AsyncIterator[Any]:
        assert not ordered
        results: asyncio.Queue[Any] = asyncio.Queue()
        slots = asyncio.Semaphore(self.info.workers)

        async def one(index: int, item: Any) -> None:
            results.put_nowait(await work(index, item))
            slots.release()

        async def feed() -> None:
            async with asyncio.TaskGroup() as group:
                await slots.acquire()
                index = 0
                async for item in items:
                    group.create_task(one(index, item))
                    index += 1
                    await slots.acquire()
            results.put_nowait(None)

        feeder = asyncio.create_task(feed())
        try:
            while (result := await results.get()) is not None:
                yield result
                self.taken += 1
            await feeder
        finally:
            feeder.cancel()
            await asyncio.wait([feeder])


@pytest.fixture
def fake_executor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FakeExecutor]]:
    """Puts a fake in the executor's place; returns the list of those that get made."""

    def install(result: ScriptResult | None = None, **info: Any) -> list[FakeExecutor]:
        made: list[FakeExecutor] = []
        done = ScriptResult(status=Status.OK, exit_code=0, detail="exit code 0")

        def create(options: make_executor.ExecutorOptions) -> Any:
            made.append(FakeExecutor(options, Info(**info), result or done))
            return made[-1]

        monkeypatch.setattr(make_executor, "create_executor", create)
        return made

    return install
