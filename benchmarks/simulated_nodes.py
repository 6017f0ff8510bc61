"""Simulated nodes for the real router: workers, a way there and back, deaths and slowness.

Failures and stragglers are those that were published:

* Llama 3 405B's training on 2,048 nodes of 8 GPUs was interrupted 419 times in 54 days (Llama Team
  2024, "The Llama 3 Herd of Models"): 3.8 failures in 1,000 node-days.
* Stragglers take 8 times as long as the median (Ananthanarayanan et al. 2013, "Effective Straggler
  Mitigation: Attack of the Clones", traces of Facebook and Bing). How many nodes are slow at a time
  is not told there, and is an argument.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from heapq import heapify, heapreplace
from typing import Any, NamedTuple

from executor.fleet.router import NodeLost, Router
from executor.fleet.work import Work

FAILURES_PER_NODE_S = 419 / 54 / 2048 / 86_400
STRAGGLER_TIMES = 8.0


class Costs(NamedTuple):
    """What was measured, in seconds."""

    front: float
    """Processor time of the routing process for an item: its loop can do no more."""
    item: float
    """Median time that an item has a worker."""
    spread: float = 1.0
    """Of the logarithm of that time."""
    endless: float = 0.005
    """Share of items that run into their limit."""
    limit: float = 10.0
    way: float = 0.001
    """One way between the routing process and a node."""


class Front:
    """The routing process: it does one thing at a time."""

    def __init__(self, cost: float) -> None:
        self._cost = cost
        self._free_at = 0.0
        self.busy = 0.0

    def through(self) -> float:
        """Takes an item in hand; when it is through."""
        self._free_at = max(self._free_at, asyncio.get_running_loop().time()) + self._cost
        self.busy += self._cost
        return self._free_at


class SimulatedNode:
    """A :class:`executor.fleet.router.Node`."""

    def __init__(self, name: str, weight: int, times: float, front: Front, costs: Costs) -> None:
        self.name = name
        self.weight = weight
        self.busy = 0.0
        self._times = times
        self._front = front
        self._costs = costs
        self._free_at = [0.0] * weight
        heapify(self._free_at)
        self._in_hand: set[asyncio.Future[Any]] = set()

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Begin an item, whose ``yields_s`` are the seconds that it takes."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        seconds = float(work.yields_s) * self._times
        begins = max(self._front.through() + self._costs.way, self._free_at[0])
        heapreplace(self._free_at, begins + seconds)
        self.busy += seconds
        self._in_hand.add(future)
        future.add_done_callback(self._in_hand.discard)
        loop.call_at(begins + seconds + self._costs.way, _answer, future)
        return future

    def die(self) -> None:
        """With all that it has in hand."""
        for future in list(self._in_hand):
            if not future.done():
                future.set_exception(NodeLost(self.name))


def _answer(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(True)


def seconds_of(costs: Costs, chooser: random.Random) -> float:
    """How long an item has a worker."""
    if chooser.random() < costs.endless:
        return costs.limit
    return min(costs.limit, costs.item * math.exp(costs.spread * chooser.gauss(0.0, 1.0)))


class Fleet:
    """Simulated nodes of one router, some of them slow, which die and come back.

    Args:
        failures: How many times as often nodes die as was published.
        slow: Share of nodes that are slow.
        back_s: Seconds until a node that has died is replaced.
    """

    def __init__(
        self,
        nodes: int,
        workers: int,
        costs: Costs,
        *,
        failures: float = 1.0,
        slow: float = 0.01,
        back_s: float = 60.0,
        seed: int = 0,
    ) -> None:
        self.router = Router()
        self.front = Front(costs.front)
        self.costs = costs
        self.deaths = 0
        self._chooser = random.Random(seed)
        self._workers = workers
        self._slow = slow
        self._mean_s = 1 / (failures * FAILURES_PER_NODE_S * nodes) if failures else math.inf
        self._back_s = back_s
        for number in range(nodes):
            self._add(number)

    def _add(self, number: int) -> None:
        times = STRAGGLER_TIMES if self._chooser.random() < self._slow else 1.0
        node = SimulatedNode(str(number), self._workers, times, self.front, self.costs)
        self.router.add(node)

    async def fail(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(1e9, self._chooser.expovariate(1 / self._mean_s)))
            nodes = self.router.nodes
            if len(nodes) > 1:
                self._kill(self._chooser.choice(nodes), loop)

    def _kill(self, node: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.deaths += 1
        self.router.remove(node)
        node.die()
        back: Callable[[int], None] = self._add
        loop.call_later(self._back_s, back, int(node.name))
