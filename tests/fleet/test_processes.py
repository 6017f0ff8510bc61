"""Several real processes as one executor, and what happens when they are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from executor import (
    ConfigurationError,
    Executor,
    ExecutorClosed,
    InputError,
    JudgeTask,
    Limits,
    Options,
    ProcessFleet,
    Rules,
    Script,
    Status,
    StoreSettings,
    TaskType,
    Triplet,
    UnknownBackend,
)
from executor.fleet.processes import _part, _shares
from tests.support.programs import ENDLESS
from tests.support.waiting import wait_until, wait_until_gone

pytestmark = pytest.mark.long

LIMITS = Limits(wall_s=60, cpu_s=10)
RULES = Rules(banned_modules=())
SLOW = "def f(x):\n    import time\n    time.sleep(0.02)\n    return x * 2"


def triplets(count: int, program: str = "def f(x):\n    return x * 2") -> list[Triplet]:
    return [Triplet(program=program, inputs=(str(n),), outputs=(str(2 * n),)) for n in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    """What processes tell comes while the event loop goes on."""
    await asyncio.to_thread(wait_until, condition)


@pytest.fixture
async def fleet() -> AsyncIterator[ProcessFleet]:
    async with ProcessFleet(processes=2, workers=4, limits=LIMITS, rules=RULES) as opened:
        yield opened


async def test_items_of_all_kinds_are_as_on_one_executor(fleet: ProcessFleet) -> None:
    rows = [
        *triplets(3),
        Triplet(program="def f(x):\n    return 1 // x", inputs=("0",)),
        Triplet(program="def f(x):", inputs=("0",)),
        Triplet(program="def f(x):\n    return id(x)", inputs=("[]",), id="address"),
    ]
    task = JudgeTask(
        task=TaskType.ABDUCTION, program=rows[0].program, outputs=("4",), answers=("2", "3", "x")
    )
    script = Script(source="import sys; print(sys.argv[1]); sys.exit(3)", argv=("word",))
    async with Executor(workers=2, limits=LIMITS, rules=RULES) as one:
        assert fleet.info._replace(workers=2) == one.info
        expected = [verdict async for verdict in one.validate_many(rows)]
        judged, ran = await one.judge(task), await one.run(script)
    found = [verdict async for verdict in fleet.validate_many(rows)]
    told = {"usage", "detail"}  # the detail of the last row names addresses
    assert [v.model_dump(exclude=told) for v in found] == [
        v.model_dump(exclude=told) for v in expected
    ]
    judgement, result = await fleet.judge(task), await fleet.run(script)
    assert judgement.model_copy(update={"usage": judged.usage}) == judged
    assert result.model_copy(update={"usage": ran.usage}) == ran
    assert (result.stdout, result.exit_code) == (b"word\n", 3)


async def test_killed_processes_lose_no_item_and_change_no_verdict(fleet: ProcessFleet) -> None:
    before = set(fleet.process_ids)
    killed: list[int] = []
    right = 0
    async for verdict in fleet.validate_many(triplets(400, SLOW), window=64):
        assert verdict.status is Status.OK, verdict.detail
        assert verdict.outputs == (str(2 * verdict.index),)
        right += 1
        if right in (60, 200):
            killed.append(fleet.process_ids[len(killed)])
            os.kill(killed[-1], signal.SIGKILL)
    assert right == 400
    await until(lambda: fleet.stats().process_restarts == 2 and len(fleet.process_ids) == 2)
    assert not set(killed) & set(fleet.process_ids)
    assert len(before & set(fleet.process_ids)) <= 1
    assert (await fleet.validate(triplets(1)[0])).valid


async def test_a_call_that_is_cancelled_is_ended_in_its_process(fleet: ProcessFleet) -> None:
    endless = asyncio.create_task(fleet.validate(Triplet(program=ENDLESS, inputs=("1",))))
    await until(lambda: fleet.stats().pool.in_flight > 0)
    endless.cancel()
    await until(lambda: fleet.stats().pool.in_flight == 0)


async def test_errors_are_those_of_an_executor(fleet: ProcessFleet) -> None:
    with pytest.raises(ConfigurationError, match="this executor allows"):
        await fleet.validate(triplets(1)[0], options=Options(limits=Limits(cpu_s=20)))
    with pytest.raises(InputError):
        await fleet.run(Script(source="", files={"../x": b""}))


async def test_closing_leaves_no_process() -> None:
    others = set(psutil.Process().children(recursive=True))  # of fixtures of this test process
    async with ProcessFleet(processes=2, workers=2, limits=LIMITS) as fleet:
        below = set(psutil.Process().children(recursive=True)) - others
        assert set(fleet.process_ids) < {process.pid for process in below}
        waiting = asyncio.create_task(fleet.validate(Triplet(program=ENDLESS, inputs=("1",))))
        await asyncio.sleep(0)
    with pytest.raises(ExecutorClosed):
        await waiting
    with pytest.raises(ExecutorClosed):
        await fleet.validate(triplets(1)[0])
    wait_until_gone(below)


PARENT = """
import asyncio
from executor import ProcessFleet

async def main():
    async with ProcessFleet(processes=2, workers=2) as fleet:
        print("open", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_nothing_is_left_when_the_first_process_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"open\n"
    below = psutil.Process(parent.pid).children(recursive=True)
    assert len(below) > 4
    parent.kill()
    parent.communicate()
    wait_until_gone(below)


def test_settings_that_cannot_be_are_refused_at_once() -> None:
    with pytest.raises(UnknownBackend):
        ProcessFleet("none")
    with pytest.raises(ConfigurationError, match="at least 1"):
        ProcessFleet(processes=0)
    with pytest.raises(ConfigurationError, match="3 processes need as many workers"):
        ProcessFleet(processes=3, workers=2)
    with pytest.raises(TypeError, match="no argument 'colour'"):
        ProcessFleet(colour="blue")  # type: ignore[call-arg]


async def test_what_a_process_cannot_open_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(32))
    store = StoreSettings(url=str(tmp_path / "nowhere/v.db"), key_file=str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match="its folder does not exist"):
        async with ProcessFleet(processes=2, workers=2, store=store):
            pass


def test_cores_and_workers_are_shared_out() -> None:
    assert _shares([0, 1, 2, 3, 4], 2) == [[0, 1], [2, 3, 4]]
    assert _shares([0, 1], 3) == [[0], [1], [0]]
    assert [_part(7, 3, number) for number in range(3)] == [3, 2, 2]
    assert _part(None, 3, 0) is None
