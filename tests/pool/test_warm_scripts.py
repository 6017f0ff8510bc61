"""Scripts in warm guests: no program can tell them from a jail, and each limit has its status."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor import Executor, InputError, Limits, Script, Status, SyncExecutor
from executor.backends.host.guest_process import GuestProcess
from executor.pool.warm_scripts import MAX_SOURCE_BYTES, MAX_STDIN_BYTES
from tests.cases.scripts import HINTED, JAILED, LIMITED, WARM
from tests.support.leftovers import nothing_left
from tests.support.warm_scripts import facts, jailed, warm, warm_tries

pytestmark = pytest.mark.long

LIMITS = Limits(cpu_s=4, wall_s=30, memory_mib=256, output_kib=8192, processes=16)
TIGHT = Limits(cpu_s=1, wall_s=1, memory_mib=128, output_kib=64, processes=16)
STDIN = "erste ü\nzweite\n\nlast"
ARGUMENTS = ("a b", "", "é", "-c")


@pytest.fixture(scope="module")
def executor() -> Iterator[SyncExecutor]:
    with SyncExecutor(workers=2, limits=LIMITS) as opened:
        if "script" not in opened._executor.pool.backend.kinds:
            pytest.skip("no warm guests for scripts here (no C compiler at install)")
        yield opened


@pytest.mark.parametrize("what", WARM)
def test_a_warm_run_cannot_be_told_from_a_jail(executor: SyncExecutor, what: str) -> None:
    script = Script(source=WARM[what], stdin=STDIN, argv=ARGUMENTS)
    result = warm(executor, script, LIMITS)
    assert result is not None, "a warm guest could not run it"
    assert facts(result) == facts(jailed(executor, script, LIMITS))


@pytest.mark.parametrize("what", LIMITED)
def test_a_limit_has_its_status_and_keeps_what_was_written(
    executor: SyncExecutor, what: str
) -> None:
    source, status = LIMITED[what]
    script = Script(source=source)
    wall_s = 1 if status is Status.WALL_LIMIT else LIMITS.wall_s  # others may be busy
    limits = TIGHT.model_copy(update={"wall_s": wall_s})
    result = warm(executor, script, limits)
    assert result is not None, "a warm guest could not run it"
    assert result.status is status
    expected = jailed(executor, script, limits)
    if status is Status.OUTPUT_LIMIT:  # it may end before it is killed
        expected = expected.model_copy(update={"signal": result.signal})
    assert facts(result) == facts(expected)
    assert result.stdout.startswith(b"kept")


@pytest.mark.parametrize("what", JAILED)
def test_what_a_warm_guest_denies_runs_in_a_jail(executor: SyncExecutor, what: str) -> None:
    script = Script(source=JAILED[what])
    before = warm_tries(executor)
    assert warm(executor, script, LIMITS) is None
    assert warm_tries(executor) == before + 1
    assert facts(executor.run(script)) == facts(jailed(executor, script, LIMITS))


@pytest.mark.parametrize("what", HINTED)
def test_what_says_that_it_needs_a_jail_is_not_tried(executor: SyncExecutor, what: str) -> None:
    before = warm_tries(executor)
    assert executor.run(Script(source=HINTED[what])).backend == "nsjail"
    assert warm_tries(executor) == before


UNSUITABLE = {
    "files": Script(source="print(open('a').read())", files={"a": b"content"}),
    "files to collect": Script(source="print(1)", collect=("a",)),
    "bash": Script(source="echo 1", language="bash"),
    "a long text": Script(source="#" * MAX_SOURCE_BYTES + "\nprint(1)"),
    "a long input": Script(source="print(len(input()))", stdin="x" * (MAX_STDIN_BYTES + 1)),
}


@pytest.mark.parametrize("what", UNSUITABLE)
def test_what_a_warm_guest_cannot_take_goes_to_a_jail(executor: SyncExecutor, what: str) -> None:
    before = warm_tries(executor)
    assert executor.run(UNSUITABLE[what]).status is Status.OK
    assert warm_tries(executor) == before


def test_the_longest_input_and_source_are_taken(executor: SyncExecutor) -> None:
    source = "print(len(input()))\n"
    script = Script(
        source=source + "#" * (MAX_SOURCE_BYTES - len(source)), stdin="x" * MAX_STDIN_BYTES
    )
    result = warm(executor, script, LIMITS)
    assert result is not None
    assert result.stdout == f"{MAX_STDIN_BYTES}\n".encode()


def test_an_argument_that_cannot_be_passed_is_an_input_error(executor: SyncExecutor) -> None:
    with pytest.raises(InputError):
        executor.run(Script(source="print(1)", argv=("a\0b",)))


def test_a_script_that_needed_a_jail_is_remembered(executor: SyncExecutor) -> None:
    script = Script(source="import os\ngetattr(os, 'mkdir')('x')\nprint('once')")
    assert executor.run(script).stdout == b"once\n"
    before = warm_tries(executor)
    assert executor.run(script).stdout == b"once\n"
    assert warm_tries(executor) == before


def test_random_numbers_differ_from_run_to_run(executor: SyncExecutor) -> None:
    source = (
        "import random, uuid, secrets\nprint(random.random(), uuid.uuid4(), secrets.token_hex())"
    )
    seen = []
    for _ in range(12):
        result = warm(executor, Script(source=source), LIMITS)
        assert result is not None
        seen += result.stdout.split()
    assert len(set(seen)) == len(seen) == 36


def test_backends_without_warm_guests_run_all_scripts_in_jails() -> None:
    with SyncExecutor("process", workers=1) as executor:
        script = Script(source="print(1)")
        assert warm(executor, script, executor.limits) is None
        assert warm_tries(executor) == 0
        assert executor.run(script).stdout == b"1\n"
        assert all(worker.role.kind != "script" for worker in executor._executor.pool.workers)


async def _kill_guests(executor: Executor, until: asyncio.Event) -> int:
    killed = 0
    while not until.is_set():
        await asyncio.sleep(0.3)
        for worker in executor.pool.workers:
            if worker.role.kind == "script" and isinstance(worker.guest, GuestProcess):
                os.kill(worker.guest.pid, signal.SIGKILL)
                killed += 1
                break
    return killed


@pytest.mark.usefixtures("executor")  # skips where there are no warm guests
def test_scripts_survive_the_death_of_their_guests() -> None:
    async def main() -> None:
        async with Executor(workers=2, limits=LIMITS) as executor:
            done = asyncio.Event()
            killing = asyncio.create_task(_kill_guests(executor, done))
            sources = [f"import time\ntime.sleep(0.05)\nprint({i} * 2)" for i in range(60)]
            results = await asyncio.gather(*(executor.run(Script(source=s)) for s in sources))
            done.set()
            assert await killing > 0
            assert [int(result.stdout) for result in results] == [2 * i for i in range(60)]

    asyncio.run(main())


@pytest.mark.usefixtures("executor")
def test_a_long_script_holds_up_no_other_and_ends_when_its_caller_goes() -> None:
    async def main() -> None:
        async with Executor(workers=2, limits=LIMITS) as executor:
            await executor.run(Script(source="print(0)"))
            long = asyncio.create_task(executor.run(Script(source="import time\ntime.sleep(29)")))
            await asyncio.sleep(0.2)
            start = time.monotonic()
            quick = [executor.run(Script(source=f"print({i})")) for i in range(40)]
            results = await asyncio.gather(*quick)
            assert [int(result.stdout) for result in results] == list(range(40))
            assert time.monotonic() - start < 25
            long.cancel()
            with pytest.raises(asyncio.CancelledError):
                await long
            assert (await executor.run(Script(source="print('on')"))).stdout == b"on\n"
            assert executor.stats().scripts_running == 0

    asyncio.run(main())


@pytest.mark.usefixtures("executor")
def test_closing_under_load_leaves_nothing(temporary: Path) -> None:
    async def main() -> None:
        async with Executor(workers=2, limits=LIMITS) as executor:
            await executor.run(Script(source="print(0)"))
            running = [
                asyncio.create_task(executor.run(Script(source=f"import time\ntime.sleep({i})")))
                for i in range(3, 9)
            ]
            await asyncio.sleep(0.3)
        results = await asyncio.gather(*running, return_exceptions=True)
        assert {type(result).__name__ for result in results} == {"ExecutorClosed"}

    with nothing_left(temporary):
        asyncio.run(main())
