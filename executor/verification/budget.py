"""What one row may take of the host: texts, time, bytes, and the event loop.

A row is one triplet, or one task with all its answers. What is bounded for a row of inputs is
bounded for each answer of a task: the answers are those of different parties, and none may use up
what another one needs.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from executor.models import Limits, Status, Usage
from executor.pool.engine import CallOutcome, Engine, Run
from executor.wire.frames import Call, Order, Parsed, ParseItem

TOO_COSTLY = CallOutcome(
    Status.ROW_LIMIT, detail="the value takes too long to compare with the one that is wanted"
)

AT_ONCE = 8
"""Runs of one row that are in hand at a time, so that their results are not in memory at once."""

_HERE_BYTES = 2048
"""Encoded values up to so long are read and compared in the event loop."""
_ITEMS_AT_ONCE = 64
"""Texts of a row that are parsed in one request."""
_MAX_ROW_BYTES = 16 << 20
_RUNS = 4
"""How often the bytes of a row's outputs may be there, in runs that differ."""

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="executor-values")
"""One for all, so that no two large values are decoded at a time."""


async def off_loop[Result](size: int, work: Callable[..., Result], *arguments: Any) -> Result:
    """Do work on values of ``size`` encoded bytes: here if it is short, else beside the loop."""
    if size <= _HERE_BYTES:
        return work(*arguments)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_thread, _uncollected, partial(work, *arguments))


def _uncollected[Result](work: Callable[[], Result]) -> Result:
    """Do it without the collector, which would go through all parts of a value again and again."""
    if not gc.isenabled():
        return work()
    gc.disable()
    try:
        return work()
    finally:
        gc.enable()


async def gather_few[Result](
    makers: Iterable[Callable[[], Coroutine[Any, Any, Result]]], at_once: int = AT_ONCE
) -> list[Result]:
    """The results of some coroutines, of which few run at a time, in their order."""
    places = asyncio.Semaphore(at_once)

    async def one(make: Callable[[], Awaitable[Result]]) -> Result:
        async with places:
            return await make()

    return await asyncio.gather(*map(one, makers))


def too_many(limits: Limits, *lists: Sequence[str | None]) -> CallOutcome | None:
    """Why a row has too much text to be worked on, if it has."""
    count = max(map(len, lists), default=0)
    if count > limits.row_texts:
        detail = f"the row has {count} inputs, outputs or answers, allowed are {limits.row_texts}"
        return CallOutcome(Status.MALFORMED, detail=f"{detail} (limits.row_texts): split it")
    size = sum(len(text) for texts in lists for text in texts if text is not None)
    if size > _MAX_ROW_BYTES:
        detail = f"the row has {size} characters, allowed are {_MAX_ROW_BYTES}: split it"
        return CallOutcome(Status.MALFORMED, detail=detail)
    return None


class RowEngine:
    """The engine for one row: parses piece by piece, and runs as long as the budget lasts."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._left_s = limits.row_s
        self._left_bytes = _RUNS * (limits.row_mib << 20)
        self._left_code = _RUNS * (limits.row_mib << 20)
        self._known: dict[bytes, bytes] = {}

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

    async def run(
        self,
        code: bytes,
        calls: Sequence[Call],
        *,
        variant: int | None,
        imports: bool,
        order: Order = Order.NATURAL,
    ) -> Run:
        """Run in a fresh process, under the row's limits and within its budget."""
        if self._left_s <= 0:
            detail = f"the runs of the row take more than {self._limits.row_s:g} s (limits.row_s)"
            return _used_up(detail, calls)
        if self._left_bytes < 0:
            return _used_up(self._too_many_bytes(), calls)
        run = await self._engine.run(
            code,
            calls,
            self._limits,
            variant=variant,
            imports=imports,
            order=order,
        )
        self._left_s -= run.usage.wall_ms / 1000
        return run._replace(outcomes=tuple(map(self._charged, run.outcomes)))

    def _charged(self, outcome: CallOutcome) -> CallOutcome:
        if outcome.value is None:
            return outcome
        known = self._known.get(outcome.value)
        if known is None:  # equal results of different runs are one
            self._left_bytes -= len(outcome.value)
            if self._left_bytes < 0:
                return CallOutcome(Status.ROW_LIMIT, detail=self._too_many_bytes())
            known = self._known[outcome.value] = outcome.value
        return outcome._replace(value=known)

    def _too_many_bytes(self) -> str:
        most = _RUNS * self._limits.row_mib
        return f"the values of the row take more than {most} MiB (4 times limits.row_mib)"


def _used_up(detail: str, calls: Sequence[Call]) -> Run:
    outcome = CallOutcome(Status.ROW_LIMIT, detail=detail)
    return Run((outcome,) * len(calls), Usage(), whole=False)


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
