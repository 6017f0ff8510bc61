"""Bounds on what one row may take of the host: texts, time, bytes, and the event loop.

A row is one triplet, or one task with all its answers. What is bounded for a row of inputs is
bounded for each answer of a task: the answers are those of different parties, and none may use up
what another one needs.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from executor.models import Limits, Status
from executor.pool.engine import CallOutcome, Engine, Job, Run
from executor.wire.frames import Parsed, ParseItem

TOO_COSTLY = CallOutcome(
    Status.ROW_LIMIT, detail="the value takes too long to compare with the one that is wanted"
)

AT_ONCE = 8
"""Runs of one row that are in hand at a time, so that their results are not in memory at once."""

HERE_BYTES = 2048
"""Encoded values up to so long are read and compared in the event loop."""
_ITEMS_AT_ONCE = 64
"""Texts of a row that are parsed in one request."""
_MAX_ROW_BYTES = 16 << 20
_SWITCH_S = 0.0005
"""Seconds after which work beside the event loop lets go of the interpreter, if that is wanted."""
_RUNS = 4
"""Copies of a row's output bytes that may exist at once, in runs that differ."""

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="executor-values")
"""One for all, so that no two large values are decoded at a time."""


async def off_loop[Result](size: int, work: Callable[..., Result], *arguments: Any) -> Result:
    """Do work on values of ``size`` encoded bytes: here if it is short, else beside the loop."""
    if size <= HERE_BYTES:
        return work(*arguments)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_thread, _uncollected, partial(work, *arguments))


def _uncollected[Result](work: Callable[[], Result]) -> Result:
    """Do it without the collector, which would go through all parts of a value again and again.

    Meanwhile the event loop gets the interpreter's lock back soon after each call of the system:
    with the usual 5 ms, starting a guest beside such work would hold it for a tenth of a second.
    """
    collects, interval = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(_SWITCH_S)
    try:
        return work()
    finally:
        sys.setswitchinterval(interval)
        if collects:
            gc.enable()


async def gather_few[Result](
    makers: Sequence[Callable[[], Coroutine[Any, Any, Result]]], at_once: int = AT_ONCE
) -> list[Result]:
    """The results of some coroutines, of which few run at a time, in their order.

    Those that need not wait for anything are done on the spot.
    """
    if len(makers) <= 1:
        return [await make() for make in makers]
    places = asyncio.Semaphore(at_once)

    async def one(make: Callable[[], Awaitable[Result]]) -> Result:
        async with places:
            return await make()

    loop = asyncio.get_running_loop()
    tasks = [asyncio.Task(one(make), loop=loop, eager_start=True) for make in makers]
    if all(task.done() and task.exception() is None for task in tasks):
        return [task.result() for task in tasks]
    return await asyncio.gather(*tasks)


def too_many(limits: Limits, *lists: Sequence[str | None]) -> CallOutcome | None:
    """The reason why a row has too much text to be worked on, if it has."""
    count = max(map(len, lists), default=0)
    if count > limits.row_texts:
        detail = f"the row has {count} inputs, outputs or answers, allowed are {limits.row_texts}"
        return CallOutcome(Status.MALFORMED, detail=f"{detail} (limits.row_texts): split it")
    size = sum(len(text) for texts in lists for text in texts if text is not None)
    if size > _MAX_ROW_BYTES:
        detail = f"the row has {size} characters, allowed are {_MAX_ROW_BYTES}: split it"
        return CallOutcome(Status.MALFORMED, detail=detail)
    return None


class Budget:
    """The time and bytes that the runs of one row, or of one answer, have left."""

    __slots__ = ("_known", "_left_bytes", "_left_us", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left_us = round(limits.row_s * 1_000_000)
        self._left_bytes = _RUNS * (limits.row_mib << 20)
        self._known: dict[bytes, bytes] = {}

    @property
    def refusal(self) -> CallOutcome | None:
        """The reason why there may be no more runs, if there is one."""
        if self._left_us <= 0:
            seconds = f"{self._limits.row_s:g}"
            detail = f"the runs of the row take more than {seconds} s (limits.row_s)"
            return CallOutcome(Status.ROW_LIMIT, detail=detail)
        return self._too_many_bytes() if self._left_bytes < 0 else None

    def charge(self, run: Run) -> Run:
        """Count a run; a large value is another one's if they are equal, and none if it is too
        much."""
        self._left_us -= run.used.wall_us
        value = run.outcome.value
        if value is None:
            return run
        known = self._known.get(value)
        if known is not None:  # equal results of different runs are one
            if len(value) <= HERE_BYTES:
                return run
            return run._replace(outcome=run.outcome._replace(value=known))
        self._left_bytes -= len(value)
        if self._left_bytes < 0:
            return run._replace(outcome=self._too_many_bytes())
        self._known[value] = value
        return run

    def _too_many_bytes(self) -> CallOutcome:
        most = _RUNS * self._limits.row_mib
        detail = f"the values of the row take more than {most} MiB (4 times limits.row_mib)"
        return CallOutcome(Status.ROW_LIMIT, detail=detail)


class RowEngine:
    """The engine for one row: parses and runs piece by piece, as long as the budget lasts."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._budget = Budget(limits)
        self._left_code = _RUNS * (limits.row_mib << 20)

    def fresh(self) -> RowEngine:
        """The same engine, with a budget of its own."""
        return RowEngine(self._engine, self._limits)

    async def parse(self, items: Sequence[ParseItem]) -> list[Parsed]:
        """Screen, compile and parse; as :class:`executor.pool.engine.Engine`."""
        parsed: list[Parsed] = []
        for at in range(0, len(items), _ITEMS_AT_ONCE):
            part = items[at : at + _ITEMS_AT_ONCE]
            if self._left_code < 0:
                detail = "the row's inputs and outputs compile to too much code"
                parsed += [Parsed("row_limit", [detail], [])] * len(part)
                continue
            found = await self._engine.parse(part)
            self._left_code -= sum(len(blob) for one in found for blob in one.blobs)
            parsed += found
            if at:
                await asyncio.sleep(0)
        return parsed

    async def run(self, jobs: Sequence[Job]) -> list[list[Run]]:
        """See :class:`executor.pool.engine.Engine`; :data:`AT_ONCE` calls of each job at a
        time."""
        longest = max(len(job.calls) for job in jobs)
        if longest <= AT_ONCE:
            return await self._run_some(jobs)
        runs: list[list[Run]] = [[] for _ in jobs]
        for at in range(0, longest, AT_ONCE):
            some = [job._replace(calls=job.calls[at : at + AT_ONCE]) for job in jobs]
            for number, more in enumerate(await self._run_some(some)):
                runs[number] += more
        return runs

    async def _run_some(self, jobs: Sequence[Job]) -> list[list[Run]]:
        refusal = self._budget.refusal
        if refusal is not None:
            return [[Run(refusal)] * len(job.calls) for job in jobs]
        charge = self._budget.charge
        return [
            [charge(run) for run in runs] for runs in await self._engine.run(jobs, self._limits)
        ]

    async def run_apart(self, job: Job) -> list[Run]:
        """The runs of a job whose calls are of different parties: each has a budget of its own.
        At most :data:`AT_ONCE` calls."""
        (runs,) = await self._engine.run([job], self._limits)
        return [
            run if run.outcome.size <= HERE_BYTES else Budget(self._limits).charge(run)
            for run in runs
        ]


class TextBudget:
    """The texts of a row's outputs."""

    def __init__(self, limits: Limits) -> None:
        self._mib = limits.row_mib
        self._left = limits.row_mib << 20

    def take(self, text: str) -> CallOutcome | None:
        """Count a text; why there is no room for it, if there is none."""
        self._left -= len(text)
        if self._left >= 0:
            return None
        detail = f"the outputs of the row take more than {self._mib} MiB as text (limits.row_mib)"
        return CallOutcome(Status.ROW_LIMIT, detail=detail)
