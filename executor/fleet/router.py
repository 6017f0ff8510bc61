"""Which node gets which item: the least loaded one; and another one if that is lost.

The same code routes to processes, and in simulated time to ten thousand simulated nodes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Any, Protocol

from executor.errors import ExecutorClosed
from executor.fleet.work import Work

ATTEMPTS = 5
"""Nodes that an item may be lost with. It may be the item that ends them."""


class NodeLost(Exception):
    """The node is gone, and with it what it had in hand."""


class Exhausted(Exception):
    """No node has done the item, and none will be asked any more."""


class Node(Protocol):
    """Something that does items."""

    name: str
    weight: int
    """How much it can do at a time: its workers."""

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Begin an item. The future has the result, or what the executor raised, or
        :class:`NodeLost`; cancelling it ends the item."""


class _Place:
    """A node, and what it has in hand."""

    __slots__ = ("capacity", "load", "node", "number")

    def __init__(self, node: Node, number: int, capacity: int) -> None:
        self.node = node
        self.number = number
        self.load = 0
        self.capacity = capacity


class Router:
    """Hands items to nodes, which come and go.

    Args:
        per_worker: Items that a node may have in hand for each of its workers; others wait here, in
            the order in which they came.
        patience_s: Seconds that an item waits for a node to be there at all.
    """

    def __init__(self, *, per_worker: int = 64, patience_s: float = 120.0) -> None:
        self._per_worker = per_worker
        self._patience_s = patience_s
        self._places: dict[int, _Place] = {}
        self._by_node: dict[int, _Place] = {}
        self._numbers = itertools.count()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self.repeated = 0
        """Items that were done again because their node was lost."""

    @property
    def nodes(self) -> list[Node]:
        """Those that are there now."""
        return [place.node for place in self._places.values()]

    def add(self, node: Node) -> None:
        """Give work to a node from now on."""
        place = _Place(node, next(self._numbers), max(1, self._per_worker * node.weight))
        self._places[place.number] = place
        self._by_node[id(node)] = place
        for _ in range(place.capacity):
            self._wake_one()

    def remove(self, node: Node) -> None:
        """Give it no more. What it has in hand is its own affair: done, or :class:`NodeLost`."""
        place = self._by_node.pop(id(node), None)
        if place is not None:
            del self._places[place.number]

    def close(self) -> None:
        """Items that wait for room get :class:`executor.errors.ExecutorClosed`."""
        self._closed = True
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)
        self._waiting.clear()

    async def do(self, work: Work) -> Any:
        """Have an item done; what the executor raises is raised here.

        Raises:
            Exhausted: it was lost with too many nodes, or there is no node.
            ExecutorClosed: the router was closed.
        """
        for attempt in range(ATTEMPTS):
            place = await self._take()
            self.repeated += attempt > 0
            try:
                return await place.node.submit(work)
            except NodeLost:
                self.remove(place.node)
            finally:
                place.load -= 1
                self._wake_one()
        raise Exhausted(f"{ATTEMPTS} nodes were lost while they had it in hand")

    async def _take(self) -> _Place:
        """A place on the node that is least loaded for its size."""
        place = None if self._waiting or self._closed else self._free()
        again = False
        while place is None:
            if self._closed:
                raise ExecutorClosed("the executor was closed")
            await self._wait(first=again)
            place = None if self._closed else self._free()
            again = True
        place.load += 1
        return place

    def _free(self) -> _Place | None:
        best: _Place | None = None
        least = 0.0
        for place in self._places.values():
            if place.load >= place.capacity:
                continue
            share = place.load / place.capacity
            if best is None or share < least:
                best, least = place, share
        return best

    async def _wait(self, *, first: bool) -> None:
        """Wait for room; ``first``: before all others, for it had its turn already."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(woken)
        else:
            self._waiting.append(woken)
        try:
            while not woken.done():
                await asyncio.wait([woken], timeout=self._patience_s)
                if not woken.done() and not self._places:
                    raise Exhausted(f"no node has been there for {self._patience_s:g} s")
        except BaseException:
            if woken.done():
                self._wake_one()  # it was meant for this item, which goes away
            raise
        finally:
            if not woken.done():
                self._waiting.remove(woken)

    def _wake_one(self) -> None:
        while self._waiting:
            woken = self._waiting.popleft()
            if not woken.done():
                woken.set_result(None)
                return
