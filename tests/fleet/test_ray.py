"""A Ray cluster of simulated nodes as one executor, and what happens when they are taken away."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.ray_cluster import Simulated
from executor import (
    BackendUnavailable,
    ConfigurationError,
    Executor,
    JudgeTask,
    RayFleet,
    Script,
    Status,
    TaskType,
    Triplet,
)
from tests.fleet.test_processes import LIMITS, RULES, SLOW, triplets, until

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.verl,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        shlex.quote(sys.executable) != sys.executable,
        reason=f"Ray cannot start an interpreter with such a path: {sys.executable}",
    ),
]


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Simulated]:
    ray = pytest.importorskip("ray", reason="Ray is not installed (extra: ray)")
    simulated = Simulated(2)
    yield simulated
    ray.shutdown()
    simulated.close()


@pytest.fixture
async def fleet(cluster: Simulated) -> AsyncIterator[RayFleet]:
    async with RayFleet(
        address=cluster.address, processes=1, workers=2, limits=LIMITS, rules=RULES
    ) as opened:
        yield opened


async def all_right(
    fleet: RayFleet, count: int, at: dict[int, Callable[[], None]] | None = None
) -> None:
    """So many slow items; something is done when some of them are."""
    right = 0
    async for verdict in fleet.validate_many(triplets(count, SLOW), window=64, ordered=False):
        assert verdict.status is Status.OK, verdict.detail
        assert verdict.outputs == (str(2 * verdict.index),)
        right += 1
        if at is not None and right in at:
            await asyncio.to_thread(at[right])
    assert right == count


async def test_items_of_all_kinds_are_as_on_one_executor(
    fleet: RayFleet, cluster: Simulated
) -> None:
    rows = [
        *triplets(3),
        Triplet(program="def f(x):\n    return 1 // x", inputs=("0",)),
        Triplet(program="def f(x):", inputs=("0",)),
    ]
    task = JudgeTask(
        task=TaskType.ABDUCTION, program=rows[0].program, outputs=("4",), answers=("2", "3", "x")
    )
    script = Script(source="import sys; print(sys.argv[1]); sys.exit(3)", argv=("word",))
    async with Executor(workers=2, limits=LIMITS, rules=RULES) as one:
        assert fleet.info == one.info._replace(workers=4)
        expected = [verdict async for verdict in one.validate_many(rows)]
        judged, ran = await one.judge(task), await one.run(script)
    found = [verdict async for verdict in fleet.validate_many(rows)]
    assert [v.model_dump(exclude={"usage"}) for v in found] == [
        v.model_dump(exclude={"usage"}) for v in expected
    ]
    judgement, result = await fleet.judge(task), await fleet.run(script)
    assert judgement.model_copy(update={"usage": judged.usage}) == judged
    assert result.model_copy(update={"usage": ran.usage}) == ran
    # One worker of Ray on each node but the head, and below each of them no guest but those of a
    # process of ours.
    workers = cluster.workers()
    assert len(workers) == len(fleet.nodes) == 2
    for worker in workers:
        assert ["executor.fleet.child" in title(child) for child in worker.children()] == [True]


async def test_a_killed_worker_is_replaced_on_its_node(fleet: RayFleet, cluster: Simulated) -> None:
    before, workers = set(fleet.nodes), cluster.workers()
    below = workers[0].children(recursive=True)
    await all_right(fleet, 200, {40: lambda: os.kill(workers[0].pid, signal.SIGKILL)})
    await until(lambda: fleet.stats().process_restarts == 1 and set(fleet.nodes) == before)
    await until(lambda: not any(process.is_running() for process in below))
    assert len(cluster.workers()) == 2


async def test_killed_and_new_nodes_lose_no_item(fleet: RayFleet, cluster: Simulated) -> None:
    first, second = fleet.nodes
    await all_right(
        fleet, 300, {40: lambda: cluster.do(f"kill {first}"), 150: lambda: cluster.do("add")}
    )
    await until(lambda: len(fleet.nodes) == 2)
    assert first not in fleet.nodes
    assert second in fleet.nodes
    assert fleet.info.workers == 4


async def test_a_node_that_is_drained_gets_nothing_more(
    fleet: RayFleet, cluster: Simulated
) -> None:
    first, second = fleet.nodes
    await all_right(fleet, 200, {40: lambda: cluster.do(f"drain {first}")})
    await until(lambda: fleet.nodes == [second])
    assert fleet.stats().process_restarts == 0
    assert (await fleet.validate(triplets(1)[0])).valid
    cluster.do(f"kill {first}")
    cluster.do("add")


async def test_nodes_with_too_few_processors_are_told(cluster: Simulated) -> None:
    with pytest.raises(BackendUnavailable, match="fewer processors than the 5 that are"):
        async with RayFleet(address=cluster.address, cpus_per_node=5):
            pass


def test_without_a_cluster_a_sentence_says_what_to_do() -> None:
    code = (
        "import asyncio, executor\n"
        "async def main():\n"
        "    try:\n"
        "        await executor.RayFleet(address='127.0.0.1:1').__aenter__()\n"
        "    except executor.BackendUnavailable as error:\n"
        "        print(error)\n"
        "asyncio.run(main())\n"
    )
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no Ray cluster at 127.0.0.1:1" in done.stdout, done.stderr


def test_settings_that_cannot_be_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        RayFleet(cpus_per_node=0)


def test_ray_is_imported_by_who_uses_it_only() -> None:
    code = "import sys, executor; executor.RayFleet(); print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"False\n"
