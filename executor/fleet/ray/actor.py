"""The actor of one node: carries frames to a fleet of processes there, which has the sandboxes.

The Ray worker itself never holds a guest: programs run in the jails of its child processes.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from executor.fleet.frames import Frame, Splitter, packed
from executor.fleet.messages import ExecutorSettings
from executor.fleet.processes import ProcessFleet
from executor.fleet.serving import Serving
from executor.version import version

GATHER_S = 0.003
"""Seconds that results wait for others, to go together."""
_SILENCE_S = 5.0


class NodeActor:
    """What runs in the Ray worker: an asynchronous actor.

    Args:
        cores: Cores of the node to use, the last ones; ``None``: all.
        processes: Host processes; ``None``: one for every four cores.
    """

    def __init__(self, cores: int | None, processes: int | None) -> None:
        self._cores = cores
        self._processes = processes
        self._unsent: list[bytes] = []
        self._some = asyncio.Event()
        self._serving: Serving | None = None
        self._splitter: Splitter | None = None
        self._life: asyncio.Task[None] | None = None

    async def begin(self) -> str:
        """Take frames from now on. The version of the executor on this node."""
        self._serving = Serving(self._send, self._make)
        self._splitter = Splitter(self._serving.take)
        self._life = asyncio.create_task(self._serving.run())
        return version()

    async def give(self, frames: bytes) -> None:
        """Frames for the executor."""
        assert self._splitter is not None, "begin comes first"
        self._splitter.feed(frames)

    async def take(self) -> bytes:
        """Frames of the executor: as soon as there are some, and none after some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_S):
                await self._some.wait()
                await asyncio.sleep(GATHER_S)
        frames, self._unsent = self._unsent, []
        self._some.clear()
        return b"".join(frames)

    async def end(self) -> None:
        """Close the executor, with all its processes."""
        if self._serving is not None and self._life is not None:
            self._serving.end()
            await self._life

    def _send(self, kind: Frame, body: bytes) -> None:
        self._unsent += packed(kind, body)
        self._some.set()

    def _make(self, settings: ExecutorSettings) -> ProcessFleet:
        mine = sorted(os.sched_getaffinity(0))
        if self._cores is not None:
            # Inherited by the processes that are started from here. The first cores are those
            # that other actors of the node are likely to have been bound to.
            os.sched_setaffinity(0, mine[-self._cores :])
        return ProcessFleet(processes=self._processes, **settings.arguments())
