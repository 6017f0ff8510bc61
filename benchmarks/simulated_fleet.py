"""Fleets of up to 10,000 nodes: the real router in simulated time, and where it breaks.

    python -m benchmarks.simulated_fleet [--most 10000] [--front-ms MS --item-ms MS]

What an item costs the routing process, and how long it has a worker, is measured first with a real
fleet of one process on this machine, unless it is given. Failures and stragglers are those of
published traces (``benchmarks/simulated_nodes.py``). Three tables:

1. the router's own processor time for an item (real), by nodes;
2. a burst of items on all nodes: share of the time that their workers are busy until the last one
   is done, with a routing process that costs nothing, and with one that costs what was measured;
3. steps of reinforcement learning: responses come as they are generated, and the trainer waits for
   the last verdict after the last response: its share of the step.

Exits with 1 if an item was lost, or if the trainer waits for more than 1 % of a step at 1,024 GPUs
where programs may take a second.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import fleet as real
from benchmarks.simulated_clock import run
from benchmarks.simulated_nodes import Costs, Fleet, seconds_of
from executor import Triplet
from executor.fleet.router import Exhausted
from executor.fleet.work import Work

_WORKERS = 16
"""Of a node: two for each of eight cores that training leaves."""
_GPUS_PER_NODE = 8
_ITEM = Triplet(program="p", inputs=("1",))
_GENERATE_S, _TRAIN_S = 180.0, 120.0
"""Of a step, the longest response and the rest."""
_ANSWERS_PER_GPU = 64
_USUAL_RESPONSE, _RESPONSES_SPREAD = 0.25, 0.5
"""Median length of a response in longest ones, and the spread of its logarithm. Those that are cut
at the longest come in one moment."""
_WANTED_WAIT, _AT_GPUS, _AT_LIMIT_S = 0.01, 1024, 1.0


class Burst(NamedTuple):
    """What came of a burst."""

    seconds: float
    """Simulated."""
    busy: float
    """Share of that time that workers were busy."""
    front: float
    """Share of that time that the routing process was busy."""
    real_us: float
    """Processor microseconds that simulating an item has taken."""
    lost: int
    deaths: int
    repeated: int
    copied: int


async def _done(fleet: Fleet, seconds: float) -> bool:
    try:
        await fleet.router.do(Work("validate", _ITEM, None, seconds))
    except Exhausted:
        return False
    return True


async def burst(fleet: Fleet, items: int, nodes: int) -> Burst:
    """All items at one moment."""
    chooser = random.Random(1)
    began = time.process_time()
    tasks = [asyncio.create_task(fleet.router.watch()), asyncio.create_task(fleet.fail())]
    taken = [seconds_of(fleet.costs, chooser) for _ in range(items)]
    done = await asyncio.gather(*(_done(fleet, seconds) for seconds in taken))
    seconds = asyncio.get_running_loop().time()
    for task in tasks:
        task.cancel()
    return Burst(
        seconds,
        sum(taken) / (seconds * nodes * _WORKERS),
        fleet.front.busy / seconds,
        1e6 * (time.process_time() - began) / items,
        items - sum(done),
        fleet.deaths,
        fleet.router.repeated,
        fleet.router.copied,
    )


class Steps(NamedTuple):
    """Steps of a training run."""

    waits_s: tuple[float, ...]
    """For each step, from the last response to the last verdict."""
    lost: int
    deaths: int
    copied: int

    @property
    def share(self) -> float:
        """Of the step that the trainer waits."""
        wait = statistics.mean(self.waits_s)
        return wait / (_GENERATE_S + wait + _TRAIN_S)


async def steps(fleet: Fleet, gpus: int, count: int) -> Steps:
    """Responses come as they are generated, and are judged meanwhile."""
    chooser = random.Random(2)
    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(fleet.router.watch()), asyncio.create_task(fleet.fail())]
    waits, lost = [], 0

    async def answer(at: float, seconds: float) -> bool:
        await asyncio.sleep(at)
        return await _done(fleet, seconds)

    for _ in range(count):
        began = loop.time()
        lengths = [
            min(1.0, _USUAL_RESPONSE * chooser.lognormvariate(0.0, _RESPONSES_SPREAD))
            for _ in range(gpus * _ANSWERS_PER_GPU)
        ]
        done = await asyncio.gather(
            *(answer(_GENERATE_S * one, seconds_of(fleet.costs, chooser)) for one in lengths)
        )
        waits.append(loop.time() - began - _GENERATE_S * max(lengths))
        lost += len(done) - sum(done)
        await asyncio.sleep(_TRAIN_S)
    for task in tasks:
        task.cancel()
    return Steps(tuple(waits), lost, fleet.deaths, fleet.router.copied)


# ---- tables --------------------------------------------------------------------------------------


def table(title: str, *names: str) -> Table:
    """An empty one."""
    made = Table(title=title)
    for name in names:
        made.add_column(name, justify="right")
    return made


def sizes(most: int) -> list[int]:
    """Numbers of nodes."""
    return [nodes for nodes in (1, 10, 100, 1000, 10_000) if nodes <= most]


def bursts(most: int, costs: Costs, console: Console) -> int:
    """Tables 1 and 2; how many items were lost."""
    routing = table("The router alone", "nodes", "real us an item")
    shown = table(
        "A burst of 20 items for each worker, at most 200,000, none endless",
        "nodes", "front ms", "seconds",
        "workers busy", "front busy", "died", "again", "copied", "lost",
    )  # fmt: skip
    lost = 0

    async def one(nodes: int, costs: Costs) -> Burst:
        items = min(200_000, 20 * nodes * _WORKERS)
        return await burst(Fleet(nodes, _WORKERS, costs), items, nodes)

    for nodes in sizes(most):
        for front in (0.0, costs.front):
            found = run(one(nodes, costs._replace(front=front, endless=0.0)))
            lost += found.lost
            shown.add_row(
                str(nodes), f"{1000 * front:.3f}", f"{found.seconds:.1f}", f"{found.busy:.1%}",
                f"{found.front:.1%}", str(found.deaths), str(found.repeated), str(found.copied),
                str(found.lost),
            )  # fmt: skip
            if not front:
                routing.add_row(str(nodes), f"{found.real_us:.0f}")
    console.print(routing)
    console.print(shown)
    return lost


def training(costs: Costs, most: int, console: Console) -> tuple[int, float]:
    """Table 3; how many items were lost, and the share of waiting that is asked for."""
    shown = table(
        f"Steps of {_GENERATE_S:g} s of generation and {_TRAIN_S:g} s of training", "GPUs", "nodes",
        "answers", "limit s", "failures", "slow nodes", "wait s (each step)", "share of step",
        "died", "copied", "lost",
    )  # fmt: skip
    lost, asked = 0, 0.0
    cases = [
        (128, 10.0, 1.0, 0.01), (128, 1.0, 1.0, 0.01), (1024, 10.0, 1.0, 0.01),
        (1024, 1.0, 1.0, 0.01), (1024, 1.0, 1000.0, 0.01), (1024, 1.0, 1.0, 0.1),
        (4096, 1.0, 1.0, 0.01),
    ]  # fmt: skip

    async def one(gpus: int, costs: Costs, failures: float, slow: float) -> Steps:
        nodes = gpus // _GPUS_PER_NODE
        made = Fleet(nodes, _WORKERS, costs, failures=failures, slow=slow)
        return await steps(made, gpus, 3 if gpus <= 1024 else 1)

    for gpus, limit, failures, slow in cases:
        if gpus // _GPUS_PER_NODE > most:
            continue
        found = run(one(gpus, costs._replace(limit=limit), failures, slow))
        lost += found.lost
        shown.add_row(
            str(gpus), str(gpus // _GPUS_PER_NODE), str(gpus * _ANSWERS_PER_GPU), f"{limit:g}",
            f"{failures:g} x", f"{slow:.0%}", " ".join(f"{wait:.2f}" for wait in found.waits_s),
            f"{found.share:.2%}", str(found.deaths), str(found.copied), str(found.lost),
        )  # fmt: skip
        if gpus == _AT_GPUS and limit == _AT_LIMIT_S:
            asked = max(asked, found.share)
    console.print(shown)
    return lost, asked


def measured() -> Costs:
    """With a real fleet of one process and one worker for each core."""
    cost = asyncio.run(real.measure(1, 2, 2000))
    return Costs(cost.front / 1000, (cost.host + cost.guests) / 1000)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--most", type=int, default=10_000, help="nodes")
    parser.add_argument("--front-ms", type=float)
    parser.add_argument("--item-ms", type=float)
    given = parser.parse_args()
    if given.front_ms and given.item_ms:
        costs = Costs(given.front_ms / 1000, given.item_ms / 1000)
    else:
        costs = measured()
    console = Console(width=130)
    console.print(f"an item: {1000 * costs.front:.3f} ms of the routing process, "
                  f"{1000 * costs.item:.2f} ms of a worker")  # fmt: skip
    lost = bursts(given.most, costs, console)
    more, asked = training(costs, given.most, console)
    console.print(f"lost: {lost + more}; longest wait at 1,024 GPUs: {asked:.2%} of a step")
    return 1 if lost + more or asked > _WANTED_WAIT else 0


if __name__ == "__main__":
    raise SystemExit(main())
