"""Several host processes of this machine as one executor: each with its share of the cores.

One event loop can feed the guests of about eight cores. Each process here has a loop, guests and a
cache of its own; one that dies is replaced, and what it had in hand is done by the others.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from typing import Unpack, override

from executor.api.base import ExecutorInfo
from executor.api.local import ExecutorStats
from executor.backends.settings import BackendSettings
from executor.errors import BackendUnavailable, ConfigurationError, ExecutorClosed
from executor.fleet.executor import RoutedExecutor, one_info
from executor.fleet.frames import Connection, Frame
from executor.fleet.messages import Alike, ExecutorSettings, settings_bytes, settings_of
from executor.fleet.node import FramedNode
from executor.fleet.router import NodeLost, Router
from executor.fleet.slots import Slot
from executor.fleet.telling import together
from executor.tasks import end_all

CORES_PER_PROCESS = 4
_END_WITHIN_S = 15.0


def default_processes() -> int:
    """One for every four cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // CORES_PER_PROCESS)


class ProcessFleet(RoutedExecutor):
    """:class:`executor.Executor` in several processes of this machine.

    Args:
        backend: As of an executor.
        processes: How many; by default one for every four cores.
        workers: Places of warm guests of all together; by default two per core.
        alike: ``limits``, ``rules``, ``judge_rules``, ``runs``, ``cache``, ``store``, ``libraries``
            as of an executor. Each process has a cache of its own: an item that is known to one may
            be run by another. The store is shared.

    Raises:
        ConfigurationError: from the constructor, and on entering.
        BackendUnavailable: on entering.
    """

    def __init__(
        self,
        backend: str | BackendSettings = "nsjail",
        *,
        processes: int | None = None,
        workers: int | None = None,
        **alike: Unpack[Alike],
    ) -> None:
        count = processes if processes is not None else default_processes()
        if count < 1:
            raise ConfigurationError(f"processes must be at least 1, not {count}")
        if workers is not None and workers < count:
            raise ConfigurationError(f"{count} processes need as many workers, not {workers}")
        settings = settings_of(backend, None, **alike)
        super().__init__(Router(), settings.limits)
        shares = _shares(sorted(os.sched_getaffinity(0)), count)
        self._slots = [
            Slot(
                partial(
                    ProcessNode,
                    settings.model_copy(update={"workers": _part(workers, count, n)}),
                    cores,
                )
            )
            for n, cores in enumerate(shares)
        ]
        self._keepers: list[asyncio.Task[None]] = []
        self._info: ExecutorInfo | None = None

    async def _start(self) -> None:
        starts = [asyncio.create_task(slot.start()) for slot in self._slots]
        try:
            nodes = await asyncio.gather(*starts)
        except NodeLost as error:
            await end_all(starts)
            await self._end()
            raise BackendUnavailable(f"{error} while it started: the log says why") from None
        except BaseException:
            await end_all(starts)
            await self._end()
            raise
        self._info = one_info([node.info for node in nodes])
        for slot, node in zip(self._slots, nodes, strict=True):
            self._router.add(node)
            self._keepers.append(asyncio.create_task(slot.keep(self._router, node)))

    async def _end(self) -> None:
        keepers, self._keepers = self._keepers, []
        await end_all(keepers)
        await asyncio.gather(*(slot.end(self._router) for slot in self._slots))

    @property
    def info(self) -> ExecutorInfo:
        """What all processes are together, once it is open."""
        if self._info is None:
            raise ExecutorClosed("the executor is not open")
        return self._info

    def stats(self) -> ExecutorStats:
        """What all processes do, as they last told: twice a second."""
        return together([stats for slot in self._slots for stats in slot.stats()])

    @property
    def process_ids(self) -> list[int]:
        """The processes of now."""
        return [slot.node.pid for slot in self._slots if slot.node is not None]


class ProcessNode(FramedNode):
    """One child process on some cores."""

    def __init__(self, settings: ExecutorSettings, cores: list[int], number: int) -> None:
        super().__init__(f"process {number} on {cores}")
        self._settings = settings
        self._cores = cores
        self._channel = self._connection = Connection(self._take, self._lost)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None
        return self._process.pid

    @override
    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "executor.fleet.child"),
                    *(str(theirs.fileno()), ",".join(map(str, self._cores))),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
        await asyncio.get_running_loop().create_unix_connection(lambda: self._connection, sock=ours)
        self._connection.send(Frame.SETTINGS, settings_bytes(self._settings))
        await self._ready

    @override
    async def close(self) -> None:
        """End it: it has some seconds to end its guests. Safe to call twice."""
        await super().close()
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(_END_WITHIN_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()


def _shares(cores: list[int], count: int) -> list[list[int]]:
    """The cores of each process: neighbours; some are given twice where there are too few."""
    if count >= len(cores):
        return [[cores[number % len(cores)]] for number in range(count)]
    bounds = [len(cores) * number // count for number in range(count + 1)]
    return [cores[start:end] for start, end in itertools.pairwise(bounds)]


def _part(whole: int | None, count: int, number: int) -> int | None:
    """The workers of one of several processes."""
    if whole is None:
        return None
    return whole // count + (number < whole % count)
