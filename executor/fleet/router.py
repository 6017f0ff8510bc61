"""Which node gets which item: the least loaded one; and another one if that is lost.

The same code routes to processes, and in simulated time to ten thousand simulated nodes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Container
from heapq import heapify, heappop, heappush
from itertools import takewhile
from typing import Any, Protocol

from executor.errors import ExecutorClosed
from executor.fleet.work import Work

ATTEMPTS = 5
"""Nodes that an item may be lost with. It may be the item that ends them."""

_LOOK_EVERY_S = 1.0
_SLOW_S = 2.0
_SLOW_TIMES = 8.0
_NEW_SHARE = 0.05
_STALE_TIMES, _STALE = 4, 64
"""Entries for each place, and besides, from which on those that are not true are dropped."""


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

    __slots__ = ("capacity", "gone", "load", "node", "number")

    def __init__(self, node: Node, number: int, capacity: int) -> None:
        self.node = node
        self.number = number
        self.load = 0
        self.capacity = capacity
        self.gone = False
        """It gets nothing more."""


class _ByLoad:
    """Places, the least loaded for its size first; the first to come among equals.

    A heap with an entry for each change of a load: those that are not true any more are dropped
    when they come up, or when they are the most. A change costs the logarithm of the places.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, _Place]] = []
        self._live = 0

    def add(self, place: _Place) -> None:
        """One more."""
        self._live += 1
        self.changed(place)

    def drop(self, place: _Place) -> None:
        """One less."""
        place.gone = True
        self._live -= 1

    def changed(self, place: _Place) -> None:
        """Its load is another one."""
        if place.gone:
            return
        heap = self._heap
        heappush(heap, (place.load / place.capacity, place.number, place.load, place))
        if len(heap) > _STALE_TIMES * self._live + _STALE:
            heap[:] = {entry[1]: entry for entry in heap if _is_true(entry)}.values()
            heapify(heap)

    def first(self, without: Container[_Place] = ()) -> _Place | None:
        """The one that is least loaded, if any has room."""
        heap = self._heap
        passed: list[tuple[float, int, int, _Place]] = []
        found: _Place | None = None
        while heap and found is None:
            entry = heap[0]
            if not _is_true(entry):
                heappop(heap)
            elif entry[3].load >= entry[3].capacity:
                break  # all that come after it are full, too
            elif entry[3] in without:
                passed.append(heappop(heap))
            else:
                found = entry[3]
        for entry in passed:
            heappush(heap, entry)
        return found


def _is_true(entry: tuple[float, int, int, _Place]) -> bool:
    return entry[2] == entry[3].load and not entry[3].gone


class _Running:
    """An item that nodes have in hand: one, or two of which the first to answer counts."""

    __slots__ = ("copies", "outcome", "since", "work")

    def __init__(self, work: Work, now: float) -> None:
        self.work = work
        self.since = now
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.copies: dict[_Place, asyncio.Future[Any]] = {}

    def end(self) -> None:
        """Nobody wants what is still in hand."""
        for future in self.copies.values():
            future.cancel()


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
        self._by_load = _ByLoad()
        self._by_node: dict[int, _Place] = {}
        self._numbers = itertools.count()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._running: dict[_Running, None] = {}
        """The oldest first."""
        self._usual_s = 0.0
        self._closed = False
        self.repeated = 0
        """Items that were done again because their node was lost."""
        self.copied = 0
        """Items that were given to a second node because the first one is slow."""

    @property
    def nodes(self) -> list[Node]:
        """Those that are there now."""
        return [place.node for place in self._places.values()]

    def has(self, node: Node) -> bool:
        """Whether it is one of those."""
        return id(node) in self._by_node

    def add(self, node: Node) -> None:
        """Give work to a node from now on."""
        place = _Place(node, next(self._numbers), max(1, self._per_worker * node.weight))
        self._places[place.number] = place
        self._by_node[id(node)] = place
        self._by_load.add(place)
        for _ in range(place.capacity):
            self._wake_one()

    def remove(self, node: Node) -> None:
        """Give it no more. What it has in hand is its own affair: done, or :class:`NodeLost`."""
        place = self._by_node.pop(id(node), None)
        if place is not None:
            del self._places[place.number]
            self._by_load.drop(place)

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
            running = _Running(work, asyncio.get_running_loop().time())
            self._running[running] = None
            self._begin(running, place)
            try:
                return await running.outcome
            except NodeLost:
                continue
            finally:
                del self._running[running]
                running.end()
        raise Exhausted(f"{ATTEMPTS} nodes were lost while they had it in hand")

    async def watch(self) -> None:
        """For ever: what a node is slow with is also given to one that has nothing to do.

        Slow is an item that takes several times as long as is usual now, and some seconds.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            latest = asyncio.get_running_loop().time() - max(_SLOW_S, _SLOW_TIMES * self._usual_s)
            for running in self._older(latest):
                if self._waiting:
                    break
                if len(running.copies) == 1 and (place := self._idle(running)) is not None:
                    self._load(place, 1)
                    self.copied += 1
                    self._begin(running, place)

    def _older(self, latest: float) -> list[_Running]:
        """Items that were begun by then. A glance where there are none, however many there are."""
        return list(takewhile(lambda running: running.since <= latest, self._running))

    def _begin(self, running: _Running, place: _Place) -> None:
        """Give an item to a node, whose place it has."""
        future = place.node.submit(running.work)
        running.copies[place] = future
        future.add_done_callback(lambda done: self._ended(running, place, done))

    def _ended(self, running: _Running, place: _Place, future: asyncio.Future[Any]) -> None:
        """A node has answered, or is lost, or was told to stop."""
        error = None if future.cancelled() else future.exception()
        if isinstance(error, NodeLost):
            self.remove(place.node)
            del running.copies[place]
        self._load(place, -1)
        self._wake_one()
        outcome = running.outcome
        if outcome.done() or future.cancelled() or (running.copies and isinstance(error, NodeLost)):
            return
        if error is not None:
            outcome.set_exception(error)
            return
        taken_s = asyncio.get_running_loop().time() - running.since
        self._usual_s += _NEW_SHARE * (taken_s - self._usual_s)
        outcome.set_result(future.result())

    def _idle(self, running: _Running) -> _Place | None:
        """The least loaded node that has workers without work, and not this item."""
        place = self._by_load.first(running.copies)
        return place if place is not None and place.load < place.node.weight else None

    async def _take(self) -> _Place:
        """A place on the node that is least loaded for its size."""
        place = None if self._waiting or self._closed else self._by_load.first()
        again = False
        while place is None:
            if self._closed:
                raise ExecutorClosed("the executor was closed")
            await self._wait(first=again)
            place = None if self._closed else self._by_load.first()
            again = True
        self._load(place, 1)
        return place

    def _load(self, place: _Place, more: int) -> None:
        place.load += more
        self._by_load.changed(place)

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
