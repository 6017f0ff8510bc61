"""Faults: guests are killed, calls are cancelled, executors are closed under load."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from benchmarks import kills
from executor import (
    BackendUnavailable,
    ConfigurationError,
    Executor,
    ExecutorClosed,
    JudgeTask,
    Limits,
    Script,
    Status,
    SyncExecutor,
    TaskType,
    Triplet,
    UnknownBackend,
    Verdict,
)
from executor.backends.base import Role
from executor.backends.host.guest_process import GuestProcess
from executor.backends.process import ProcessBackend
from tests.support.leftovers import children, nothing_left
from tests.support.programs import ENDLESS, OPEN_RULES, body, triplet
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

PATIENT = Limits(cpu_s=60, wall_s=60)
"""Limits that an endless loop does not reach within a test."""

SLEEP = "import time\ntime.sleep(60)"


def honest(count: int) -> list[Triplet]:
    return [triplet(body(f"return x * 1000 + {number}"), "1") for number in range(count)]


def check(verdicts: list[Verdict]) -> None:
    """All rows are there, in order, and right."""
    assert [verdict.index for verdict in verdicts] == list(range(len(verdicts)))
    assert [verdict.outputs for verdict in verdicts] == [
        (str(1000 + number),) for number in range(len(verdicts))
    ]


async def batch(executor: Executor, count: int) -> None:
    check([verdict async for verdict in executor.validate_many(honest(count))])


def endless(number: int) -> Triplet:
    return triplet(f"{ENDLESS}\n# {number}")


def answers(*texts: str) -> JudgeTask:
    return JudgeTask(
        task=TaskType.ABDUCTION, program=ENDLESS, inputs=("0",), outputs=("1",), answers=texts
    )


# ---- kills ---------------------------------------------------------------------------------------


async def test_jails_killed_during_a_batch_change_no_verdict() -> None:
    outcome = await kills.run(5, every_s=0.3)
    assert outcome.wrong == []
    assert set(outcome.statuses) == {Status.OK}
    assert outcome.kills >= 1
    assert outcome.restarts >= outcome.kills // 4  # some strike a jail that is ending already


async def test_all_jails_killed_at_once_are_replaced() -> None:
    async with Executor(workers=2, cache=False) as executor:
        for _ in range(3):
            running = asyncio.create_task(batch(executor, 200))
            await asyncio.sleep(0.05)
            for jail in kills.jails():
                with contextlib.suppress(psutil.NoSuchProcess):
                    jail.kill()
            await running


def parsers() -> list[tuple[psutil.Process, psutil.Process]]:
    """Of the parsers' jails: the outer process, and the parser."""
    found = []
    for parser in kills.jails():
        with contextlib.suppress(psutil.NoSuchProcess):
            outer = parser.parent()
            if "parser" in parser.cmdline() and outer is not None:
                found.append((outer, parser))
    return found


def has_ended(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


async def test_killed_parsers_lose_nothing() -> None:
    """All of them die three times; a text is blamed only if it has ended four."""
    async with Executor(workers=2, cache=False) as executor:
        running = asyncio.create_task(batch(executor, 300))
        for _ in range(3):
            await asyncio.sleep(0.05)
            struck = parsers()
            for _, parser in struck:
                with contextlib.suppress(psutil.NoSuchProcess):
                    parser.kill()
            # Blocking: that the executor may notice a death before the next would be another test.
            wait_until(lambda: all(has_ended(outer) for outer, _ in struck))  # noqa: B023
        await running


async def test_guests_that_never_live_are_an_infrastructure_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They can be started, and die before they are asked: no caller waits for ever."""
    launch = ProcessBackend.launch

    async def stillborn(self: ProcessBackend, role: Role) -> GuestProcess:
        guest = await launch(self, role)
        guest.kill()
        wait_until(lambda: has_ended(psutil.Process(guest.pid)))
        return guest

    monkeypatch.setattr(ProcessBackend, "launch", stillborn)
    async with Executor("process", workers=1) as executor:
        verdict = await executor.validate(honest(1)[0])
    assert verdict.status is Status.INFRA, verdict.detail


def kill_runs() -> int:
    """Kill -9 the processes that run programs, not the guests; how many there were."""
    guests = kills.jails()
    struck = 0
    for jail in guests:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in jail.children():
                if child not in guests:
                    child.kill()
                    struck += 1
    return struck


async def test_a_run_killed_from_outside_is_repeated() -> None:
    """The kernel's memory killer may strike for the host's sake: that says nothing of a program."""
    program = body("import time", "time.sleep(3)", "return 7")
    async with Executor(workers=2, rules=OPEN_RULES, cache=False) as executor:
        running = asyncio.create_task(executor.validate(triplet(program)))
        while not kill_runs():
            await asyncio.sleep(0.05)
            assert not running.done(), "the run ended before it could be killed"
        verdict = await running
    assert verdict.outputs == ("7",), verdict.detail


async def test_a_text_that_ends_every_parser_is_a_crash_of_its_own_row() -> None:
    poison = triplet(body("return 1"), "[" + "{}," * 1_390_000 + "]")
    async with Executor(workers=2, limits=Limits(memory_mib=16), cache=False) as executor:
        rows = [*honest(20), poison]
        verdicts = [verdict async for verdict in executor.validate_many(rows)]
        check(verdicts[:20])
        assert verdicts[20].status is Status.CRASHED, verdicts[20].detail
        await batch(executor, 20)


HOST = """
import asyncio, sys
sys.stdout.reconfigure(line_buffering=True)
from executor import Executor, Limits, Triplet

async def main():
    async with Executor(workers=2, limits=Limits(cpu_s=99, wall_s=99)) as executor:
        loop = Triplet(program="def f(x):\\n    while True: pass", inputs=("1",))
        asyncio.get_running_loop().call_later(0.3, sys.stdout.write, "ready\\n")
        await executor.validate(loop)

asyncio.run(main())
"""


def groups_of(pid: int) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/absolute-zero/*.{pid}.*"))


def test_a_killed_host_leaves_no_process_and_the_next_one_tidies_up() -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, cwd=root) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        below = psutil.Process(host.pid).children(recursive=True)
        host.kill()
    assert len(below) > 6
    wait_until(lambda: not any(process.is_running() for process in below))
    with SyncExecutor(workers=1):
        assert groups_of(host.pid) == []


# ---- cancellation --------------------------------------------------------------------------------


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for what nobody tells, and let the executor go on meanwhile."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def is_at_rest(executor: Executor, guests: int) -> None:
    """Wait until all guests are up, and none of them has anything to do."""

    def at_rest() -> bool:
        workers = executor.pool.workers
        return len(workers) >= guests and not any(worker.in_flight for worker in workers)

    await until(at_rest, 10)


@pytest.mark.parametrize("what", ["validate", "judge"])
async def test_a_cancelled_call_frees_its_guests(what: str) -> None:
    async with Executor(workers=2, limits=PATIENT, cache=False) as executor:
        guests = len(executor.pool.workers)
        calls = [
            executor.validate(endless(number)) if what == "validate" else executor.judge(task)
            for number, task in enumerate([answers("1"), answers("2", "3")])
        ]
        running = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.3)
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
        assert [type(each) for each in results] == [asyncio.CancelledError] * 2
        start = time.monotonic()
        await batch(executor, 50)
        assert time.monotonic() - start < 30
        await is_at_rest(executor, guests)


async def test_an_honest_program_passes_endless_ones_on_a_new_guest_of_its_kind() -> None:
    """It finds all guests stuck, and sees as many modules as where none is."""
    pause = "import time\ndef f(x):\n    time.sleep(4)\n    return x"
    modules = triplet("def f(x):\n    return len(__import__('sys').modules)", "1")
    async with Executor(workers=2, limits=PATIENT, cache=False, rules=OPEN_RULES) as executor:
        guests = len(executor.pool.workers)
        alone = await executor.validate(modules)

        def all_slow() -> bool:
            states = executor.pool.stats().workers
            return (states.get(("bare", "slow")), states.get(("lib", "slow"))) == (2, 2)

        stuck = asyncio.ensure_future(executor.validate(endless(0)))
        paused = asyncio.ensure_future(executor.validate(triplet(pause, "1")))
        await until(all_slow, 60)
        verdict = await asyncio.wait_for(executor.validate(modules), 60)
        assert (verdict.status, verdict.outputs) == (Status.OK, alone.outputs)
        assert not stuck.done()
        stuck.cancel()
        assert (await paused).outputs == ("1",)
        await is_at_rest(executor, guests)
        await until(lambda: len(executor.pool.workers) == guests, 10)


async def test_a_cancelled_script_leaves_no_jail(temporary: Path) -> None:
    async with Executor(workers=1, limits=PATIENT) as executor:
        with nothing_left(temporary):
            # In bash: a script in Python may go to a warm guest, and those stay.
            running = asyncio.create_task(executor.run(Script(source="sleep 60", language="bash")))
            before = children()
            await asyncio.sleep(0.5)
            assert children() > before
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert (await executor.run(Script(source="print(1)"))).stdout == b"1\n"


async def test_an_ended_stream_frees_its_guests() -> None:
    async with Executor(workers=2, limits=PATIENT, cache=False) as executor:
        guests = len(executor.pool.workers)
        rows = [*honest(5), *map(endless, range(20))]
        verdicts = executor.validate_many(rows, window=5)  # no loop starts before the first result
        check([await anext(verdicts) for _ in range(5)])
        await asyncio.sleep(0.2)
        await verdicts.aclose()
        await batch(executor, 50)
        await is_at_rest(executor, guests)


async def test_a_million_rows_are_read_only_as_far_as_they_are_needed() -> None:
    taken = 0

    def million() -> Iterator[Triplet]:
        nonlocal taken
        for taken in range(1, 1_000_001):
            yield triplet(body(f"return x + {taken}"), "1")

    async with Executor(workers=2) as executor:
        verdicts = executor.validate_many(million(), window=32)
        for number in range(1, 101):
            assert (await anext(verdicts)).outputs == (str(number + 1),)
        await verdicts.aclose()
    assert taken <= 100 + 32 + 1


async def test_an_error_of_the_source_reaches_the_caller() -> None:
    def broken() -> Iterator[Triplet]:
        yield from honest(3)
        raise OSError("the disk is gone")

    async with Executor(workers=1) as executor:
        with pytest.raises(OSError, match="disk"):
            async for _ in executor.validate_many(broken()):
                pass
        await batch(executor, 5)


# ---- closing -------------------------------------------------------------------------------------


async def test_closing_under_load_tells_the_callers_and_leaves_nothing(temporary: Path) -> None:
    with nothing_left(temporary):
        executor = Executor(workers=2, limits=PATIENT, cache=False)
        async with executor:
            calls = [
                asyncio.ensure_future(call)
                for call in (
                    *(executor.validate(endless(number)) for number in range(40)),
                    executor.judge(answers("1", "2")),
                )
            ]
            await asyncio.sleep(0.3)
            await executor.close()
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {ExecutorClosed}


async def test_closing_ends_scripts_that_run(temporary: Path) -> None:
    with nothing_left(temporary):
        async with Executor(workers=1, limits=PATIENT) as executor:
            running = asyncio.ensure_future(executor.run(Script(source=SLEEP)))
            await asyncio.sleep(0.5)
            await executor.close()
            async with asyncio.timeout(5):
                with pytest.raises(ExecutorClosed):
                    await running


async def test_a_used_executor_leaves_nothing(temporary: Path) -> None:
    with nothing_left(temporary):
        async with Executor(workers=2) as executor:
            await batch(executor, 100)
            await executor.run(Script(source="print(1)"))
            await executor.validate(triplet(body("import os", "os._exit(1)")))


async def test_an_executor_may_be_closed_twice_and_replaced_by_another() -> None:
    for _ in range(2):
        async with Executor(workers=1) as executor:
            await batch(executor, 3)
            await executor.close()


async def test_an_error_in_the_context_still_closes(temporary: Path) -> None:
    with nothing_left(temporary), pytest.raises(ZeroDivisionError):
        async with Executor(workers=1):
            raise ZeroDivisionError


async def test_a_cancelled_start_leaves_nothing(temporary: Path) -> None:
    with nothing_left(temporary):
        for delay in (0.0, 0.01, 0.05):
            starting = asyncio.ensure_future(Executor(workers=2).__aenter__())
            await asyncio.sleep(delay)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting


async def test_calls_outside_the_context_are_refused() -> None:
    executor = Executor(workers=1)
    (row,) = honest(1)
    for _ in range(2):
        with pytest.raises(ExecutorClosed):
            await executor.validate(row)
        with pytest.raises(ExecutorClosed):
            await executor.judge(answers("1"))
        with pytest.raises(ExecutorClosed):
            await executor.run(Script(source=""))
        with pytest.raises(ExecutorClosed):
            await anext(executor.validate_many([row]))
        async with executor:
            pass


# ---- options -------------------------------------------------------------------------------------


async def test_one_worker_still_makes_two_differing_runs() -> None:
    async with Executor(workers=1, rules=OPEN_RULES) as executor:
        await batch(executor, 20)
        verdict = await executor.validate(triplet(body("return hash('a')")))
        assert verdict.status is Status.NONDETERMINISTIC


async def test_more_runs_are_made_when_asked_for() -> None:
    async with Executor(workers=1, runs=3) as executor:
        verdict = await executor.validate(honest(1)[0])
    assert verdict.valid
    assert "3 independent runs" in verdict.detail


@pytest.mark.parametrize("options", [{"workers": 0}, {"runs": 1}, {"runs": 0}])
def test_unusable_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        Executor(**options)  # type: ignore[arg-type]


def test_an_unknown_backend_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(UnknownBackend, match="nsjail, docker"):
        Executor("chroot")


async def test_a_missing_library_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ldd = tmp_path / "ldd"
    ldd.write_text("#!/bin/sh\necho 'libnl-route-3.so.200 => not found'\n")
    ldd.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BackendUnavailable, match=r"libnl-route-3\.so\.200.*apt-get install"):
        async with Executor(workers=1):
            pass


async def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EXECUTOR_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(BackendUnavailable, match="EXECUTOR_CACHE"):
        async with Executor(workers=1):
            pass


# ---- the blocking form ---------------------------------------------------------------------------


def test_the_blocking_form_gives_the_same_results() -> None:
    rows = [*honest(20), triplet(body("return hash('a')")), triplet("def f(x:")]
    task = JudgeTask(
        task=TaskType.ABDUCTION,
        program=body("return x * 2"),
        inputs=("1",),
        outputs=("2",),
        answers=("1", "2", "one"),
    )

    async def asynchronous() -> tuple[list[Verdict], list[tuple[float | None, ...]]]:
        async with Executor(workers=1, rules=OPEN_RULES) as executor:
            verdicts = [verdict async for verdict in executor.validate_many(rows)]
            return verdicts, [each.scores async for each in executor.judge_many([task] * 2)]

    verdicts, scores = asyncio.run(asynchronous())
    with SyncExecutor(workers=1, rules=OPEN_RULES) as executor:
        blocking = list(executor.validate_many(rows))
        assert [executor.judge(task).scores] * 2 == scores
        assert [each.scores for each in executor.judge_many([task] * 2)] == scores
        assert executor.run(Script(source="print(1)")).stdout == b"1\n"
        assert executor.validate(rows[3]).outputs == verdicts[3].outputs
    assert [(v.status, v.outputs, v.key) for v in blocking] == [
        (v.status, v.outputs, v.key) for v in verdicts
    ]


def test_the_blocking_form_serves_several_threads() -> None:
    with SyncExecutor(workers=2) as executor, ThreadPoolExecutor(8) as threads:
        batches = threads.map(lambda _: list(executor.validate_many(honest(40))), range(8))
        for verdicts in batches:
            check(verdicts)


def test_a_blocking_stream_may_be_left_early() -> None:
    with SyncExecutor(workers=1) as executor:
        rows = (triplet(body(f"return {number}")) for number in itertools.count())
        for verdict in executor.validate_many(rows, window=8):
            if verdict.index == 20:
                break
        check(list(executor.validate_many(honest(5))))


def test_the_blocking_form_is_refused_outside_its_context() -> None:
    executor = SyncExecutor(workers=1)
    with pytest.raises(ExecutorClosed):
        executor.validate(honest(1)[0])
    with executor:
        pass
    executor.close()
    with pytest.raises(ExecutorClosed):
        list(executor.validate_many(honest(1)))


def test_a_backend_that_does_not_start_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EXECUTOR_CACHE", str(tmp_path / "file/cache"))
    before = threading.active_count()
    with pytest.raises(BackendUnavailable), SyncExecutor(workers=1):
        pass
    wait_until(lambda: threading.active_count() <= before)


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` in the main thread, as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_an_interrupt_ends_the_call_and_the_executor_goes_on(temporary: Path) -> None:
    with nothing_left(temporary), SyncExecutor(workers=1, limits=PATIENT) as executor:
        with interrupted_after(0.4), pytest.raises(KeyboardInterrupt):
            executor.validate(endless(0))
        start = time.monotonic()
        check(list(executor.validate_many(honest(20))))
        assert time.monotonic() - start < 30


def test_an_interrupt_that_leaves_the_context_leaves_nothing(temporary: Path) -> None:
    rows = map(endless, itertools.count())
    with (
        nothing_left(temporary),
        interrupted_after(1.5),
        pytest.raises(KeyboardInterrupt),
        SyncExecutor(workers=1, limits=PATIENT) as executor,
    ):
        list(executor.validate_many(rows))
