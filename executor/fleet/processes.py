"""Several host processes of this machine as one executor: each with its share of the cores.

One event loop can feed the guests of about eight cores. Each process here has a loop, guests and a
cache of its own; one that dies is replaced, and what it had in hand is done by the others.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from executor.api.base import ExecutorInfo
from executor.api.local import ExecutorStats
from executor.backends.settings import BackendSettings
from executor.errors import BackendUnavailable, ConfigurationError, ExecutorClosed, ExecutorError
from executor.fleet.executor import RoutedExecutor, one_info
from executor.fleet.frames import Connection, Frame
from executor.fleet.messages import ExecutorSettings, settings_bytes, work_bytes
from executor.fleet.router import NodeLost, Router
from executor.fleet.telling import (
    left_behind,
    read_error,
    read_info,
    read_stats,
    together,
)
from executor.fleet.work import RESULTS, Kind, Work, decode
from executor.models import JUDGE_RULES, Limits, Rules
from executor.store.settings import StoreSettings
from executor.tasks import end_all

CORES_PER_PROCESS = 4
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_END_WITHIN_S = 15.0
_log = logging.getLogger("executor")


def default_processes() -> int:
    """One for every four cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // CORES_PER_PROCESS)


class ProcessFleet(RoutedExecutor):
    """:class:`executor.Executor` in several processes of this machine.

    Args:
        backend: As of an executor.
        processes: How many; by default one for every four cores.
        workers: Places of warm guests of all together; by default two per core.
        limits: As of an executor, like all that follow.
        rules: Screening of validation.
        judge_rules: Screening of judging.
        runs: Of a validation.
        cache: Each process has its own: an item that is known to one may be run by another.
        store: Shared by all.
        libraries: As of an executor.

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
        limits: Limits = Limits(),
        rules: Rules = Rules(),
        judge_rules: Rules = JUDGE_RULES,
        runs: int = 2,
        cache: bool = True,
        store: str | StoreSettings | None = None,
        libraries: str | None = None,
    ) -> None:
        super().__init__(Router(), limits)
        count = processes if processes is not None else default_processes()
        if count < 1:
            raise ConfigurationError(f"processes must be at least 1, not {count}")
        if workers is not None and workers < count:
            raise ConfigurationError(f"{count} processes need as many workers, not {workers}")
        settings = ExecutorSettings(
            backend=backend,
            limits=limits,
            rules=rules,
            judge_rules=judge_rules,
            runs=runs,
            cache=cache,
            store=StoreSettings(url=store) if isinstance(store, str) else store,
            libraries=libraries,
        )
        settings.make()  # what cannot be is refused here
        shares = _shares(sorted(os.sched_getaffinity(0)), count)
        self._slots = [
            _Slot(settings.model_copy(update={"workers": _part(workers, count, n)}), cores)
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


class _Slot:
    """A place for one process, and the processes that have it one after another."""

    def __init__(self, settings: ExecutorSettings, cores: list[int]) -> None:
        self.node: ProcessNode | None = None
        self._settings = settings
        self._cores = cores
        self._numbers = itertools.count()
        self._counted: list[ExecutorStats] = []
        """What those that are gone have counted, together."""

    def stats(self) -> list[ExecutorStats]:
        """Of the process of now, and of those before it."""
        now = [self.node.stats] if self.node is not None and self.node.stats is not None else []
        return [*self._counted, *now]

    async def start(self) -> ProcessNode:
        """A process that is ready. Raises what its executor raises when it is opened."""
        self.node = node = ProcessNode(f"process {next(self._numbers)} on {self._cores}")
        try:
            await node.start(self._settings, self._cores)
        except BaseException:
            await node.close()
            self.node = None
            raise
        return node

    async def keep(self, router: Router, node: ProcessNode) -> None:
        """Replace the process whenever it dies."""
        pause_s = _FIRST_PAUSE_S
        while True:
            await node.gone.wait()
            router.remove(node)
            _log.warning("%s has died and is replaced", node.name)
            await node.close()
            self._count(node)
            while True:
                try:
                    node = await self.start()
                    break
                except (ExecutorError, NodeLost, OSError) as error:
                    _log.error("a process cannot be replaced: %s", error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            pause_s = _FIRST_PAUSE_S
            router.add(node)

    def _count(self, node: ProcessNode) -> None:
        told = [node.stats] if node.stats is not None else []
        counted = together([*self._counted, *map(left_behind, told)])
        self._counted = [
            counted._replace(processes=0, process_restarts=counted.process_restarts + 1)
        ]
        self.node = None

    async def end(self, router: Router) -> None:
        """End the process."""
        node = self.node
        if node is not None:
            router.remove(node)
            await node.close()


class ProcessNode:
    """One child process; a :class:`executor.fleet.router.Node`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.weight = 1
        self.info: ExecutorInfo
        self.stats: ExecutorStats | None = None
        self.gone = asyncio.Event()
        self._connection = Connection(self._take, self._lost)
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending: dict[int, tuple[Kind, asyncio.Future[Any]]] = {}
        self._numbers = itertools.count()
        self._closing = False

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None
        return self._process.pid

    async def start(self, settings: ExecutorSettings, cores: list[int]) -> None:
        """Start it, and return when its executor is open. Raises what that raises, or
        :class:`NodeLost`."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "executor.fleet.child"),
                    *(str(theirs.fileno()), ",".join(map(str, cores))),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
        await asyncio.get_running_loop().create_unix_connection(lambda: self._connection, sock=ours)
        self._connection.send(Frame.SETTINGS, settings_bytes(settings))
        await self._ready

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Begin an item."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.gone.is_set():
            future.set_exception(self._loss())
            return future
        number = next(self._numbers)
        self._pending[number] = (work.kind, future)
        future.add_done_callback(lambda done: self._done(number, done))
        self._connection.send(Frame.WORK, work_bytes(number, work))
        return future

    def _done(self, number: int, future: asyncio.Future[Any]) -> None:
        if self._pending.pop(number, None) is not None and future.cancelled():
            self._connection.send(Frame.CANCEL, b"%d" % number)

    def _take(self, kind: Frame, body: bytes) -> None:
        if kind in (Frame.RESULT, Frame.ERROR):
            self._answer(kind, body)
        elif kind is Frame.STATS:
            self.stats = read_stats(body)
        elif kind is Frame.READY:
            self.info, _ = read_info(body)
            self.weight = self.info.workers
            if not self._ready.done():
                self._ready.set_result(None)
        elif kind is Frame.FAILED and not self._ready.done():
            self._ready.set_exception(read_error(body))

    def _answer(self, kind: Frame, body: bytes) -> None:
        number, _, told = body.partition(b" ")
        what, future = self._pending.get(int(number), (None, None))
        if what is None or future is None or future.done():
            return
        if kind is Frame.ERROR:
            future.set_exception(read_error(told))
        else:
            future.set_result(decode(RESULTS[what], told))

    def _lost(self) -> None:
        self.gone.set()
        if not self._ready.done():
            self._ready.set_exception(self._loss())
        for _, future in list(self._pending.values()):
            if not future.done():
                future.set_exception(self._loss())

    def _loss(self) -> Exception:
        if self._closing:
            return ExecutorClosed("the executor was closed")
        return NodeLost(f"{self.name} has died")

    async def close(self) -> None:
        """End it: it has some seconds to end its guests. Safe to call twice."""
        self._closing = True
        self._connection.close()
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # now it is seen
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
