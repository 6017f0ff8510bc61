"""All nodes of a Ray cluster as one executor."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Unpack

from executor.api.base import ExecutorInfo
from executor.api.local import ExecutorStats
from executor.backends.settings import BackendSettings
from executor.errors import BackendUnavailable, ConfigurationError, ExecutorClosed, ExecutorError
from executor.fleet.executor import RoutedExecutor, one_info
from executor.fleet.messages import Alike, settings_of
from executor.fleet.router import NodeLost, Router
from executor.fleet.slots import Slot
from executor.fleet.telling import left_behind, together
from executor.tasks import end_all

if TYPE_CHECKING:
    from executor.fleet.ray.node import RayNode

_LOOK_EVERY_S = 1.0
_log = logging.getLogger("executor")


class RayFleet(RoutedExecutor):
    """:class:`executor.Executor` on every node of a Ray cluster.

    Each node has one actor, and below it host processes with warm guests; nodes that come are
    used, and what a node had in hand when it died is done by others. A node that is drained gets
    nothing more. It needs the extra ``ray``, and this package on all nodes.

    Args:
        backend: As of an executor.
        address: Of the cluster; by default the one that this process is in, else the one that
            ``$RAY_ADDRESS`` names, else the one of this machine.
        cpus_per_node: Cores that each node gives, and that are reserved of Ray; by default nothing
            is reserved, and all cores are used.
        processes: Host processes of each node; by default one for every four cores.
        workers: Places of warm guests of each node; by default two per core.
        alike: ``limits``, ``rules``, ``judge_rules``, ``runs``, ``cache``, ``store``, ``libraries``
            as of an executor. Each process has a cache of its own; a store of several machines must
            be Redis, and a library set must be built on all nodes.

    Raises:
        ConfigurationError: from the constructor, and on entering.
        BackendUnavailable: on entering: no cluster, or no node of it can be used.
    """

    def __init__(
        self,
        backend: str | BackendSettings = "nsjail",
        *,
        address: str | None = None,
        cpus_per_node: int | None = None,
        processes: int | None = None,
        workers: int | None = None,
        **alike: Unpack[Alike],
    ) -> None:
        if cpus_per_node is not None and cpus_per_node < 1:
            raise ConfigurationError(f"cpus_per_node must be at least 1, not {cpus_per_node}")
        self._settings = settings_of(backend, workers, **alike)
        super().__init__(Router(), self._settings.limits)
        self._address = address
        self._cpus_per_node = cpus_per_node
        self._processes = processes
        self._slots: dict[str, Slot[RayNode]] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._following: asyncio.Task[None] | None = None
        self._counted: list[ExecutorStats] = []
        """What nodes that have left the cluster had counted."""
        self._last_info: ExecutorInfo | None = None

    async def _start(self) -> None:
        try:
            from executor.fleet.ray import cluster  # noqa: PLC0415 - others do without Ray
        except ImportError as error:
            raise ConfigurationError(
                f"nodes of a cluster need {error.name}: pip install 'absolute-zero-executor[ray]'"
            ) from None
        try:
            await asyncio.to_thread(cluster.join, self._address)
            seen = await asyncio.to_thread(cluster.look)
        except (OSError, RuntimeError, ValueError) as error:
            raise BackendUnavailable(
                f"there is no Ray cluster at {self._address or 'this machine'}: start one with "
                f"'ray start --head', or name its address ({error})"
            ) from None
        try:
            await self._start_first(seen.usable)
        except BaseException:
            await self._end()
            raise
        self._following = asyncio.create_task(self._follow())

    async def _start_first(self, names: frozenset[str]) -> None:
        """Start all nodes, of which one must work."""
        slots = [self._slot(name) for name in names]
        starts = [asyncio.create_task(slot.start()) for slot in slots]
        try:
            results = await asyncio.gather(*starts, return_exceptions=True)
        except BaseException:
            await end_all(starts)
            raise
        failed = [result for result in results if isinstance(result, BaseException)]
        for error in failed:
            if not isinstance(error, ExecutorError | NodeLost):
                raise error
            _log.error("a node cannot be started: %s", error)
        if len(failed) == len(results):
            if failed and isinstance(failed[0], ExecutorError):
                raise failed[0]
            why = f": {failed[0]}" if failed else " with processors"
            raise BackendUnavailable(f"the Ray cluster has no node that can be used{why}")
        for name, slot in self._slots.items():
            if slot.node is not None:
                self._router.add(slot.node)
            self._keep(name)

    def _slot(self, name: str) -> Slot[RayNode]:
        from executor.fleet.ray.node import RayNode  # noqa: PLC0415 - others do without Ray

        make = partial(RayNode, self._settings, name, self._cpus_per_node, self._processes)
        self._slots[name] = slot = Slot(make)
        return slot

    def _keep(self, name: str) -> None:
        self._keepers[name] = asyncio.create_task(self._live(self._slots[name]))

    async def _live(self, slot: Slot[RayNode]) -> None:
        node = slot.node
        if node is None:
            node = await slot.start_at_last()
            self._router.add(node)
        await slot.keep(self._router, node)

    async def _follow(self) -> None:
        """Use nodes that come, spare those that are drained, and forget those that are gone."""
        from executor.fleet.ray import cluster  # noqa: PLC0415 - others do without Ray

        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                usable, draining = await asyncio.to_thread(cluster.look)
            except Exception as error:
                # Of many classes. What nodes do is told by themselves, too.
                _log.error("the Ray cluster does not say which nodes it has: %s", error)
                continue
            for name in usable - self._slots.keys():
                self._slot(name)
                self._keep(name)
            for name in draining & self._keepers.keys():
                await self._spare(name)
            for name in self._slots.keys() - usable - draining:
                await self._spare(name)
                await self._forget(name)

    async def _spare(self, name: str) -> None:
        """Give a node nothing more. What it has in hand it goes on with."""
        keeper = self._keepers.pop(name, None)
        if keeper is not None:
            await end_all([keeper])
            if (node := self._slots[name].node) is not None:
                self._router.remove(node)
                _log.info("%s gets nothing more: it is taken away", node.name)

    async def _forget(self, name: str) -> None:
        slot = self._slots.pop(name)
        self._counted = [together([*self._counted, *map(left_behind, slot.stats())])]
        self._counted = [self._counted[0]._replace(processes=0)]
        await slot.end(self._router)

    async def _end(self) -> None:
        watch, self._following = self._following, None
        keepers, self._keepers = self._keepers, {}
        await end_all([*keepers.values(), *([watch] if watch is not None else [])])
        await asyncio.gather(*(slot.end(self._router) for slot in self._slots.values()))

    @property
    def info(self) -> ExecutorInfo:
        """What the nodes of now are together, once it is open."""
        nodes = [slot.node for slot in self._slots.values() if slot.node is not None]
        known = [node.info for node in nodes if self._router.has(node)]
        if known:
            self._last_info = one_info(known)
        if self._last_info is None:
            raise ExecutorClosed("the executor is not open")
        return self._last_info

    def stats(self) -> ExecutorStats:
        """What all nodes do, as they last told: twice a second."""
        now = [stats for slot in self._slots.values() for stats in slot.stats()]
        return together([*self._counted, *now])

    @property
    def nodes(self) -> list[str]:
        """Ray's names of the nodes that get work now."""
        has = self._router.has
        return [n for n, slot in self._slots.items() if slot.node is not None and has(slot.node)]
