"""A place for one node of a fleet, in which it is replaced whenever it dies."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

from executor.api.local import ExecutorStats
from executor.errors import ExecutorError
from executor.fleet.node import FramedNode
from executor.fleet.router import NodeLost, Router
from executor.fleet.telling import left_behind, together

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_log = logging.getLogger("executor")


class Slot[N: FramedNode]:
    """The nodes that have one place, one after another.

    Args:
        make: A node that is not started, of the number of those before it.
    """

    def __init__(self, make: Callable[[int], N]) -> None:
        self.node: N | None = None
        self._make = make
        self._numbers = itertools.count()
        self._counted: list[ExecutorStats] = []
        """What those that are gone have counted, together."""

    def stats(self) -> list[ExecutorStats]:
        """Of the node of now, and of those before it."""
        now = [self.node.stats] if self.node is not None and self.node.stats is not None else []
        return [*self._counted, *now]

    async def start(self) -> N:
        """A node that is ready. Raises what its executor raises when it is opened."""
        self.node = node = self._make(next(self._numbers))
        try:
            await node.start()
        except BaseException:
            await node.close()
            self.node = None
            raise
        return node

    async def keep(self, router: Router, node: N) -> None:
        """Replace the node, which has work, whenever it dies."""
        while True:
            await node.gone.wait()
            router.remove(node)
            _log.warning("%s has died and is replaced", node.name)
            await node.close()
            self._count(node)
            node = await self.start_at_last()
            router.add(node)

    async def start_at_last(self) -> N:
        """A node that is ready, however often it has to be tried."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self.start()
            except (ExecutorError, NodeLost, OSError) as error:
                _log.error("a node cannot be started: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _count(self, node: N) -> None:
        told = [node.stats] if node.stats is not None else []
        counted = together([*self._counted, *map(left_behind, told)])
        self._counted = [
            counted._replace(processes=0, process_restarts=counted.process_restarts + 1)
        ]
        self.node = None

    async def end(self, router: Router) -> None:
        """End the node."""
        node = self.node
        if node is not None:
            router.remove(node)
            await node.close()
