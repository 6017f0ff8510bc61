"""The client against the real service: what calls give, and what they raise."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from executor import (
    ConfigurationError,
    Executor,
    ExecutorClosed,
    InputError,
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Rules,
    Script,
    Status,
    TaskType,
    Triplet,
    Verdict,
)
from executor.client import RemoteExecutor, SyncRemoteExecutor
from executor.errors import ServiceUnavailable
from executor.models import PROGRAM_TASKS
from tests.cases.conformance import all_cases
from tests.support.clients import HASTY, LONG, SHORT, slow, squares
from tests.support.server import Server, busy, running, stats, verifying
from tests.support.waiting import wait_until

TRIPLETS = [
    Triplet(program="def f(t):\n    return t[::-1]", inputs=("'abc'",), id="ok"),
    Triplet(program="def f(a):\n    return a + 1", inputs=("1", "2"), outputs=("2", None)),
    Triplet(program="def f(a):\n    return a + 1", inputs=("1",), outputs=("3",)),
    Triplet(program="def f(a):\n    return 1 // a", inputs=("0",)),
    Triplet(program="def f(a):\n    return 1 // a", inputs=("0",), expects="error"),
    Triplet(program="def f(a) return", inputs=("0",)),
    Triplet(program="import os\ndef f(a):\n    return os.path", inputs=("0",)),
    Triplet(program="def f(a):\n    return list(set(a))", inputs=("['x', 'yy', 'zzz', 'w']",)),
    Triplet(program="def f(a):\n    return a", inputs=("0) or (1",)),
    Triplet(program="def f(a):\n    return '\ud800' + a", inputs=("'x'",)),
    Triplet(program="def f(a):\n    return a", inputs=("'\ud800'",)),
]
TASKS = [
    JudgeTask(
        task=TaskType.ABDUCTION,
        program="def f(a, b=1):\n    return a * b",
        inputs=("3, 4",),
        outputs=("12",),
        answers=("2, 6", "a=12", "5, 2", "1 +"),
        id=7,
    ),
    JudgeTask(
        task=TaskType.INDUCTION,
        inputs=("2", "5"),
        outputs=("4", "25"),
        scoring="fraction",
        answers=("def f(n):\n    return n * n", "def f(n):\n    return n + n", "nothing"),
    ),
    JudgeTask(task=TaskType.DEDUCTION, outputs=("[1]",), answers=("[1]", "[2]", "'\ud800'")),
]


def _alike(result: Verdict | Judgement) -> dict[str, object]:
    """What must not depend on who did it."""
    fields = result.model_dump(exclude={"usage"})
    if any("\0" in str(value) or "null" in str(value) for value in fields.values()):
        del fields["details" if "details" in fields else "detail"]
    return fields


async def test_outcomes_are_those_of_the_executor_in_this_process(service: Server) -> None:
    surrogates = {9, 10}  # cannot be sent as they are: the outcome is the same, the key is not
    limits = Limits(cpu_s=60, wall_s=120)
    async with Executor(limits=limits) as here, RemoteExecutor(service.url) as there:
        assert there.limits == limits
        assert there.info.interpreter == here.info.interpreter
        for number, triplet in enumerate(TRIPLETS):
            wanted, got = await here.validate(triplet), await there.validate(triplet)
            if number in surrogates:
                assert (got.status, got.valid) == (wanted.status, wanted.valid)
            else:
                assert _alike(got) == _alike(wanted)
        for task in TASKS:
            expected, judgement = await here.judge(task), await there.judge(task)
            assert judgement.scores == expected.scores
            assert judgement.statuses == expected.statuses
            assert judgement.id == expected.id


def _judged(judgement: Judgement) -> tuple[object, ...]:
    """What must not depend on who did it, of programs that are judged by tests."""
    cases = [[case.status for case in cases] for cases in judgement.cases]
    told = (judgement.scores, judgement.statuses, judgement.counts, judgement.weak)
    return (*told, judgement.signals, cases)


async def test_programs_are_judged_as_in_this_process(service: Server) -> None:
    tasks = [
        case.item.model_copy(update={"cases": True, "all_tests": True})
        for case in all_cases()
        if isinstance(case.item, JudgeTask) and case.item.task in PROGRAM_TASKS
    ]
    assert {task.task for task in tasks} == PROGRAM_TASKS
    limits = Limits(cpu_s=1, wall_s=60)
    async with (
        Executor(limits=limits) as here,
        RemoteExecutor(service.url, limits=limits) as there,
    ):
        expected = [_judged(await here.judge(task)) for task in tasks]
        assert [_judged(judgement) async for judgement in there.judge_many(tasks)] == expected
        assert _judged(await there.judge(tasks[0])) == expected[0]


async def test_a_stream_gives_what_single_calls_give(service: Server) -> None:
    async with RemoteExecutor(service.url) as executor:
        singly = [await executor.validate(triplet) for triplet in TRIPLETS]
        together = [verdict async for verdict in executor.validate_many(TRIPLETS)]
        judged = [judgement async for judgement in executor.judge_many(TASKS)]
        alone = [await executor.judge(task) for task in TASKS]
    assert [v.index for v in together] == list(range(len(TRIPLETS)))
    for one, other in zip(singly, together, strict=True):
        assert _alike(one.model_copy(update={"index": other.index})) == _alike(other)
    assert [(j.scores, j.statuses) for j in judged] == [(j.scores, j.statuses) for j in alone]


async def test_scripts_bring_their_bytes_back(service: Server) -> None:
    script = Script(
        source="import sys\ndata = open('in', 'rb').read()\nopen('out', 'wb').write(data[::-1])\n"
        "sys.stdout.buffer.write(b'\\xff\\0')\nsys.exit(len(sys.stdin.read()))",
        stdin="äb",
        files={"in": bytes(range(256))},
        collect=("out", "absent"),
    )
    async with RemoteExecutor(service.url) as executor:
        result = await executor.run(script, limits=Limits(cpu_s=1, wall_s=30))
    assert (result.status, result.exit_code, result.stdout) == (Status.ERROR, 2, b"\xff\0")
    assert result.files == {"out": bytes(range(256))[::-1]}
    assert type(result).__name__ == "ScriptResult"


async def test_options_of_client_and_call_reach_the_service(service: Server) -> None:
    asleep = Triplet(program="import time\ndef f(n):\n    time.sleep(60)", inputs=("1",))
    imports = Triplet(program="import time\ndef f(n):\n    return n", inputs=("1",))
    longest = Limits(cpu_s=1, wall_s=2.5)
    rules = Rules(banned_modules=())
    async with RemoteExecutor(service.url, limits=longest) as executor:
        unruly = await executor.validate(asleep, options=Options(rules=rules))
        assert unruly.detail == "ran longer than 2.5 s"
        assert (await executor.validate(imports)).status is Status.SCREENED
        options = Options(rules=rules, limits=Limits(cpu_s=1, wall_s=2))
        assert (await executor.validate(imports, options=options)).valid
        results = executor.validate_many([asleep, imports], options=options)
        assert (await anext(results)).detail == "ran longer than 2 s"
        await results.aclose()
        with pytest.raises(ConfigurationError, match=r"wall_s is 5: this executor allows 2\.5"):
            await executor.validate(asleep, options=Options(limits=Limits(cpu_s=1, wall_s=5)))


async def test_limits_above_those_of_the_service_are_refused(service: Server) -> None:
    with pytest.raises(ConfigurationError, match="cpu_s is 70: this executor allows 60"):
        async with RemoteExecutor(service.url, limits=Limits(cpu_s=70)):
            pass
    async with RemoteExecutor(service.url) as executor:
        with pytest.raises(ConfigurationError, match="wall_s is 150"):
            await executor.run(Script(source=""), limits=Limits(wall_s=150, cpu_s=1))
        with pytest.raises(ConfigurationError, match="wall_s is 150"):
            await anext(
                executor.validate_many(
                    squares(1), options=Options(limits=Limits(wall_s=150, cpu_s=1))
                )
            )


async def test_a_refused_request_raises_the_services_sentence(service: Server) -> None:
    async with RemoteExecutor(service.url) as executor:
        with pytest.raises(InputError, match="not a plain relative path"):
            await executor.run(Script(source="", files={"../x": b""}))
        with pytest.raises(InputError, match="surrogates"):
            await executor.run(Script(source="'\ud800'"))


async def test_streams_keep_order_and_numbers(service: Server) -> None:
    async with RemoteExecutor(service.url) as executor:
        items = squares(300, "order")
        ordered = [v async for v in executor.validate_many(items, window=50)]
        assert [(v.index, v.id, v.outputs) for v in ordered] == [
            (n, n, (str(n * n),)) for n in range(300)
        ]
        loose = [v async for v in executor.validate_many(items, ordered=False)]
        assert sorted(v.index for v in loose) == list(range(300))
        assert all(v.outputs == (str(v.index**2),) for v in loose)


async def test_a_fast_item_overtakes_a_slow_one(service: Server) -> None:
    async with RemoteExecutor(service.url) as executor:
        items = [slow(1.0, "overtaken"), *squares(3)]
        options = Options(rules=Rules(banned_modules=()))
        results = executor.validate_many(items, ordered=False, options=options)
        assert [v.index async for v in results][-1] == 0


async def test_a_small_window_is_kept(service: Server) -> None:
    read = 0

    def source() -> Iterator[Triplet]:
        nonlocal read
        for item in squares(30, "window"):
            read += 1
            yield item

    async with RemoteExecutor(service.url) as executor:
        seen = 0
        async for _ in executor.validate_many(source(), window=3):
            seen += 1
            assert read <= seen + 3
    assert seen == 30


async def test_an_endless_source_is_read_as_far_as_needed(service: Server) -> None:
    read = 0

    async def endless() -> AsyncIterator[Triplet]:
        nonlocal read
        while True:
            yield squares(1, str(read))[0]
            read += 1

    async with RemoteExecutor(service.url) as executor:
        async with aclosing(executor.validate_many(endless(), window=100)) as results:
            for _ in range(150):
                assert (await anext(results)).valid
        at_end = read
        assert at_end <= 250
        await asyncio.sleep(0.2)
        assert read == at_end
    wait_until(lambda: busy(stats(service)) == 0)


async def test_a_source_that_pauses_does_not_hold_results_back(service: Server) -> None:
    given = asyncio.Event()

    async def source() -> AsyncIterator[Triplet]:
        yield squares(1, "paused")[0]
        await given.wait()
        yield squares(2, "paused")[1]

    async with RemoteExecutor(service.url) as executor:
        results = executor.validate_many(source())
        assert (await asyncio.wait_for(anext(results), 10)).index == 0
        given.set()
        assert (await asyncio.wait_for(anext(results), 10)).index == 1
        with pytest.raises(StopAsyncIteration):
            await anext(results)


async def test_an_error_of_the_source_ends_the_stream(service: Server) -> None:
    def source() -> Iterator[Triplet]:
        yield from squares(2)
        raise LookupError("the source is broken")

    async with RemoteExecutor(service.url) as executor:
        with pytest.raises(LookupError, match="the source is broken"):
            async for _ in executor.validate_many(source()):
                pass


async def test_a_line_too_long_for_the_service_is_malformed_and_the_rest_goes_on() -> None:
    with running("--workers", "2", "--max-line-mib", "1") as server:
        huge = "#" * (1 << 20)
        async with RemoteExecutor(server.url) as executor:
            one, big, two = [
                v
                async for v in executor.validate_many(
                    [*squares(1), Triplet(program=huge, inputs=("1",)), *squares(1)]
                )
            ]
            assert (one.valid, big.status, big.index, two.valid) == (
                True, Status.MALFORMED, 1, True,
            )  # fmt: skip
            task = JudgeTask(task=TaskType.DEDUCTION, outputs=("1",), answers=(huge, "1"))
            (judgement,) = [j async for j in executor.judge_many([task])]
            assert judgement.scores == (None, None)
            assert judgement.statuses == (Status.MALFORMED,) * 2


async def test_a_cancelled_call_is_ended_at_the_service(service: Server) -> None:
    options = Options(rules=Rules(banned_modules=()))
    async with RemoteExecutor(service.url) as executor:
        call = asyncio.create_task(executor.validate(slow(60, "cancelled"), options=options))
        await asyncio.to_thread(wait_until, lambda: busy(stats(service)) > 0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        wait_until(lambda: busy(stats(service)) == 0, 30)
        assert (await executor.validate(squares(1)[0])).valid


async def test_closing_ends_calls_in_flight(service: Server) -> None:
    options = Options(rules=Rules(banned_modules=()))
    executor = await RemoteExecutor(service.url).__aenter__()
    call = asyncio.create_task(executor.validate(slow(60, "closed"), options=options))
    results = executor.validate_many([slow(60, "closed too")], options=options)
    following = asyncio.create_task(anext(results))
    await asyncio.to_thread(wait_until, lambda: verifying(service) == 2)
    started = time.monotonic()
    await executor.close()
    await executor.close()
    for task in (call, following):
        with pytest.raises(ExecutorClosed):
            await task
    assert time.monotonic() - started < 30
    with pytest.raises(ExecutorClosed):
        await executor.validate(squares(1)[0])
    wait_until(lambda: busy(stats(service)) == 0, 30)


async def test_outside_the_context_calls_are_refused() -> None:
    executor = RemoteExecutor("http://127.0.0.1:9")
    with pytest.raises(ExecutorClosed, match="async with RemoteExecutor"):
        await executor.judge(TASKS[0])
    with pytest.raises(ExecutorClosed):
        await anext(executor.validate_many(squares(1)))
    with pytest.raises(ExecutorClosed):
        _ = executor.info


@pytest.mark.parametrize(
    "urls",
    [[], "", "ftp://host", "host:8080", "http://", "http://h:99999", "http://u:p@h", "http://h?q"],
)
def test_addresses_that_cannot_be_used_are_refused(urls: str | list[str]) -> None:
    with pytest.raises(ConfigurationError):
        RemoteExecutor(urls)


def test_a_token_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RemoteExecutor("http://h", token="secret\nx: y")
    assert "secret" not in str(caught.value)


async def test_nobody_listening_is_unavailable() -> None:
    executor = RemoteExecutor(
        "http://127.0.0.1:9", timeouts=HASTY.model_copy(update={"start_s": 0.5})
    )
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9"):
        await executor.__aenter__()


async def test_the_token_decides() -> None:
    with running("--workers", "2", env={"EXECUTOR_TOKEN": "right-one"}) as server:
        async with RemoteExecutor(server.url, token="right-one") as executor:
            assert (await executor.validate(squares(1)[0])).valid
        for wrong in ("wrong-one", ""):
            with pytest.raises(ConfigurationError, match="refuses this client") as caught:
                async with RemoteExecutor(server.url, token=wrong, timeouts=HASTY):
                    pass
            assert "wrong-one" not in str(caught.value)


async def test_a_server_of_another_kind_is_told_apart(service: Server) -> None:
    with pytest.raises(ServiceUnavailable, match="elsewhere"):
        async with RemoteExecutor(
            service.url + "/elsewhere", timeouts=HASTY.model_copy(update={"start_s": 0.5})
        ):
            pass


async def test_a_full_queue_is_waited_for() -> None:
    with running("--workers", "2", "--queue", "1", "--batches", "1") as server:
        async with RemoteExecutor(server.url, retries=LONG) as executor:
            singles = [executor.validate(item) for item in squares(30, "full")]

            async def stream(tag: str) -> int:
                results = executor.validate_many(squares(100, tag), window=128)
                return sum([v.valid async for v in results])

            streams = asyncio.gather(stream("a"), stream("b"))
            verdicts, valid = await asyncio.gather(asyncio.gather(*singles), streams)
            assert [v.valid for v in verdicts] == [True] * 30
            assert list(valid) == [100, 100]
            assert executor.stats().retries > 0


def test_the_blocking_form_does_the_same(service: Server) -> None:
    with SyncRemoteExecutor(service.url, retries=SHORT) as executor:
        assert executor.validate(squares(3)[2]).outputs == ("4",)
        assert executor.judge(TASKS[0]).scores == (1.0, 1.0, 0.0, 0.0)
        assert executor.run(Script(source="print(1)")).stdout == b"1\n"
        assert [v.index for v in executor.validate_many(squares(9))] == list(range(9))
        assert [j.id for j in executor.judge_many(TASKS)] == [7, None, None]
        assert executor.info.workers == 2
        assert executor.stats().endpoints[0].ready
        for verdict in executor.validate_many(squares(500, "left early")):
            assert verdict.index == 0
            break
    with pytest.raises(ExecutorClosed, match="with SyncRemoteExecutor"):
        executor.validate(squares(1)[0])


_INTERRUPTED = """
import itertools, sys
from executor import Triplet
from executor.client import SyncRemoteExecutor
items = (
    Triplet(program=f"def f(n):\\n    return n  # {i}", inputs=("1",)) for i in itertools.count()
)
with SyncRemoteExecutor(sys.argv[1]) as executor:
    for verdict in executor.validate_many(items):
        print(verdict.index, flush=True)
"""


def test_ctrl_c_ends_client_and_work(service: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, service.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"0\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.rstrip().endswith(b"KeyboardInterrupt"), errors.decode()
    assert b"never retrieved" not in errors
    wait_until(lambda: busy(stats(service)) == 0)
