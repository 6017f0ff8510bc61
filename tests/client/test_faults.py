"""The client when services die, drain, vanish or cut connections: nothing lost, nothing scored."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncGenerator, Iterator

import pytest

from executor import Judgement, JudgeTask, Options, Rules, Script, Status, TaskType, Verdict
from executor.client import RemoteExecutor
from executor.errors import ServiceUnavailable
from tests.support.clients import HASTY, LONG, SHORT, Proxy, slow, squares
from tests.support.server import Server, running

pytestmark = pytest.mark.long

SMALL = ("--workers", "2", "--drain-s", "20")
OPEN = Options(rules=Rules(banned_modules=()))


@contextlib.contextmanager
def pair() -> Iterator[tuple[Server, Server]]:
    with running(*SMALL) as first, running(*SMALL) as second:
        yield first, second


async def collect(
    results: AsyncGenerator[Verdict, None], server: Server, number: int
) -> list[Verdict]:
    """All results; the signal is sent after the first twenty."""
    got = []
    async for verdict in results:
        got.append(verdict)
        if len(got) == 20:
            server.signal(number)
    return got


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_batch_survives_the_end_of_a_service(number: signal.Signals) -> None:
    with pair() as (first, second):
        async with RemoteExecutor([first.url, second.url], retries=LONG, timeouts=HASTY) as ex:
            assert ex.info.workers == 4
            items = squares(600, f"ended by {number}")
            got = await collect(ex.validate_many(items, window=256), first, number)
            assert [(v.index, v.id, v.status) for v in got] == [
                (n, n, Status.OK) for n in range(600)
            ]
            assert [v.outputs for v in got] == [(str(n * n),) for n in range(600)]
            states = {endpoint.url: endpoint.ready for endpoint in ex.stats().endpoints}
            assert states == {first.url: False, second.url: True}


async def test_single_calls_survive_the_end_of_a_service() -> None:
    with pair() as (first, second):
        async with RemoteExecutor([first.url, second.url], retries=LONG, timeouts=HASTY) as ex:
            calls = [asyncio.create_task(ex.validate(item)) for item in squares(200, "single")]
            await calls[0]
            first.signal(signal.SIGKILL)
            assert all(verdict.valid for verdict in await asyncio.gather(*calls))


async def test_an_endpoint_that_comes_back_is_used_again() -> None:
    with running(*SMALL) as first:
        async with RemoteExecutor(first.url, retries=LONG, timeouts=HASTY) as ex:
            first.signal(signal.SIGKILL)
            first.exit_code()
            call = asyncio.create_task(ex.validate(squares(3)[2]))
            await asyncio.sleep(0.5)
            assert not ex.stats().endpoints[0].ready
            with running(*SMALL, "--port", str(first.port)):
                assert (await call).outputs == ("4",)
                assert ex.stats().endpoints[0].ready


async def test_without_a_service_items_are_infra_and_never_scored() -> None:
    with running(*SMALL) as server:
        async with RemoteExecutor(server.url, retries=SHORT, timeouts=HASTY) as ex:
            got = await collect(
                ex.validate_many(squares(400, "alone"), window=64), server, signal.SIGKILL
            )
            assert [v.index for v in got] == list(range(400))
            assert {v.status for v in got} == {Status.OK, Status.INFRA}
            lost = [v for v in got if v.status is Status.INFRA]
            assert not any(v.valid or v.outputs for v in lost)
            assert all(server.url in v.detail and v.id == v.index for v in lost)

            task = JudgeTask(task=TaskType.DEDUCTION, outputs=("1",), answers=("1", "2"), id="t")
            (judgement,) = [j async for j in ex.judge_many([task])]
            assert judgement == Judgement(
                id="t",
                scores=(None, None),
                statuses=(Status.INFRA, Status.INFRA),
                details=judgement.details,
            )
            with pytest.raises(ServiceUnavailable):
                await ex.judge(task)
            with pytest.raises(ServiceUnavailable):
                await ex.run(Script(source=""))


async def test_connections_cut_at_random_lose_nothing(service: Server) -> None:
    with Proxy(service.port, cut_after=12_000) as proxy:
        async with RemoteExecutor(proxy.url, retries=LONG, timeouts=HASTY) as ex:
            got = [v async for v in ex.validate_many(squares(400, "cut"), window=128)]
            assert [(v.index, v.outputs) for v in got] == [(n, (str(n * n),)) for n in range(400)]
            task = JudgeTask(task=TaskType.DEDUCTION, outputs=("1",), answers=("1", "2"))
            judged = [j.scores async for j in ex.judge_many([task] * 100)]
            assert judged == [(1.0, 0.0)] * 100
            for item in squares(20, "cut, singly"):
                assert (await ex.validate(item)).valid
            assert proxy.cuts > 5
            assert ex.stats().retries > 0


async def test_an_endpoint_that_freezes_is_given_up(service: Server) -> None:
    with Proxy(service.port) as proxy:
        urls = [proxy.url, service.url]
        async with RemoteExecutor(urls, retries=LONG, timeouts=HASTY) as ex:
            results = ex.validate_many(squares(800, "frozen"), window=128)
            got = [await anext(results)]
            proxy.frozen = True
            started = time.monotonic()
            got += [v async for v in results]
            assert [(v.index, v.status) for v in got] == [(n, Status.OK) for n in range(800)]
            assert time.monotonic() - started < 30
            call = await asyncio.wait_for(ex.validate(squares(1)[0]), 10)
            assert call.valid
            proxy.frozen = False
            async with asyncio.timeout(20):
                while not all(endpoint.ready for endpoint in ex.stats().endpoints):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def test_a_slow_item_is_not_taken_for_a_dead_service(service: Server) -> None:
    async with RemoteExecutor(service.url, retries=SHORT, timeouts=HASTY) as ex:
        verdict = await ex.validate(slow(1.5, "patience"), options=OPEN)
        assert (verdict.status, ex.stats().retries) == (Status.OK, 0)


async def test_a_script_whose_answer_is_lost_is_not_run_again(service: Server) -> None:
    with Proxy(service.port) as proxy:
        async with RemoteExecutor(proxy.url, retries=LONG, timeouts=HASTY) as ex:
            assert (await ex.run(Script(source="print(1)"))).stdout == b"1\n"
            proxy.cut_after = 0
            await asyncio.sleep(3.2)  # the idle connection is not kept so long
            with pytest.raises(ServiceUnavailable, match="may have been run"):
                await ex.run(Script(source="print(2)"))


async def test_a_script_that_was_not_started_is_tried_elsewhere(service: Server) -> None:
    with running(*SMALL) as other:
        async with RemoteExecutor([other.url, service.url], retries=LONG, timeouts=HASTY) as ex:
            other.signal(signal.SIGKILL)
            other.exit_code()
            for _ in range(5):
                result = await ex.run(Script(source="print(1)"))
                assert (result.status, result.stdout) == (Status.OK, b"1\n")
