"""Things that are opened when first asked for, shared, and closed when unused for long.

An executor has one for each library set that its calls name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from executor.tasks import end_all

MOST_OPEN = 3
"""Each holds guests, and so memory."""
IDLE_S = 600.0


class _Entry[Thing]:
    def __init__(self, context: AbstractAsyncContextManager[Thing], thing: Thing) -> None:
        self.context = context
        self.thing = thing
        self.users = 0
        self.used_at = time.monotonic()


class OnDemand[Thing]:
    """Open things by name, at most so many at a time.

    Args:
        make: Makes one by name, not open yet.
        most: So many are open at once. For one more, that which has been unused for longest is
            closed; if all are in use, the caller waits.
        idle_s: One that was not used for so long is closed.
    """

    def __init__(
        self,
        make: Callable[[str], AbstractAsyncContextManager[Thing]],
        *,
        most: int = MOST_OPEN,
        idle_s: float = IDLE_S,
    ) -> None:
        self._make = make
        self._most = most
        self._idle_s = idle_s
        self._open: dict[str, _Entry[Thing]] = {}
        self._opening = asyncio.Lock()
        self._freed = asyncio.Event()
        self._closer: asyncio.Task[None] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What is open."""
        return tuple(self._open)

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[Thing]:
        """Hold one; it is opened if it is not. Raises what opening it raises."""
        entry = self._open.get(name)
        if entry is None:
            async with self._opening:
                entry = self._open.get(name) or await self._add(name)
        entry.users += 1
        try:
            yield entry.thing
        finally:
            entry.users -= 1
            entry.used_at = time.monotonic()
            self._freed.set()
            if self._closer is None or self._closer.done():
                self._closer = asyncio.create_task(self._close_idle())

    async def _add(self, name: str) -> _Entry[Thing]:
        while len(self._open) >= self._most:
            unused = [(one.used_at, name) for name, one in self._open.items() if not one.users]
            if unused:
                await self._end(min(unused)[1])
            else:
                self._freed.clear()
                await self._freed.wait()
        context = self._make(name)
        self._open[name] = entry = _Entry(context, await context.__aenter__())
        return entry

    async def _end(self, name: str) -> None:
        await self._open.pop(name).context.__aexit__(None, None, None)

    async def _close_idle(self) -> None:
        """Close what has been unused for long, until nothing is open."""
        while self._open:
            now = time.monotonic()
            left = [
                self._idle_s if one.users else one.used_at + self._idle_s - now
                for one in self._open.values()
            ]
            await asyncio.sleep(max(min(left), 0.0))
            async with self._opening:
                for name, one in list(self._open.items()):
                    if not one.users and time.monotonic() - one.used_at >= self._idle_s:
                        await self._end(name)

    async def close(self) -> None:
        """Close all. Nobody may be using one, or begin to."""
        if self._closer is not None:
            await end_all([self._closer])
        for name in self.names:
            await self._end(name)
