"""Jails that die under the service: nothing is lost, nothing is scored wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx
import psutil
import pytest

from tests.support.server import Server, running

SECONDS = 15


def jails(server: Server, with_inner: bool) -> list[psutil.Process]:
    """The outer processes of the server's jails, and what each holds as its first process."""
    outer: list[psutil.Process] = psutil.Process(server.process.pid).children()
    if not with_inner:
        return outer
    found = list(outer)
    for process in outer:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += process.children()
    return found


async def killer(server: Server, until: float) -> int:
    chooser = random.Random(4)
    kills = 0
    while time.monotonic() < until:
        await asyncio.sleep(0.4)
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            chooser.choice(jails(server, with_inner=True)).kill()
            kills += 1
    return kills


async def validate(client: httpx.AsyncClient, number: int) -> None:
    program = f"def f(x):\n    return [x, {number}]"
    answer = await client.post("/v1/validate", json={"program": program, "inputs": ["1"]})
    found = answer.json()
    assert (answer.status_code, found["status"]) == (200, "ok"), answer.text
    assert found["outputs"] == [f"[1, {number}]"]


async def judge(client: httpx.AsyncClient, number: int) -> None:
    body = {
        "task": "abduction",
        "program": f"def f(x):\n    return x + {number}",
        "outputs": [str(number + 2)],
        "answers": ["2", "3", "1 + 1"],
    }
    answer = await client.post("/v1/judge", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["scores"] == [1.0, 0.0, 1.0], answer.text


async def run_code(client: httpx.AsyncClient, number: int) -> None:
    code = f"open('a', 'w').write('{number}')\nprint(open('a').read())"
    answer = await client.post("/run_code", json={"language": "python", "code": code})
    found = answer.json()
    assert answer.status_code == 200, answer.text
    # a jail that dies three times in a row is no success, and no failure of the program either
    assert found["status"] in ("Success", "SandboxError"), found
    if found["status"] == "Success":
        assert found["run_result"]["stdout"] == f"{number}\n"


@pytest.mark.timeout(240)
async def test_killed_jails_lose_nothing_and_score_nothing() -> None:
    done: Counter[str] = Counter()
    with running("--workers", "2") as server:
        until = time.monotonic() + SECONDS

        async def caller(
            call: Callable[[httpx.AsyncClient, int], Awaitable[None]], first: int
        ) -> None:
            number = first
            while time.monotonic() < until:
                await call(client, number)
                done[getattr(call, "__name__", "")] += 1
                number += 1

        async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
            async with asyncio.TaskGroup() as group:
                kills = group.create_task(killer(server, until))
                for place, call in enumerate((validate, judge, run_code) * 4):
                    group.create_task(caller(call, place * 1_000_000))
            info = (await client.get("/v1/info")).json()
            assert (await client.get("/readyz")).status_code == 200
    assert kills.result() >= 3
    assert info["stats"]["restarts"] >= 1
    assert min(done[name] for name in ("validate", "judge", "run_code")) >= 1, done


VICTIM = "a-script-whose-jail-is-killed"
"""An argument of the script, by which its process is found: jails that start, and those of the
probes that follow when the service is ready, have processes too."""


def with_the_script(server: Server) -> psutil.Process | None:
    """The outer process of the jail that runs the script with that argument."""
    for process in jails(server, with_inner=False):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(VICTIM in inside.cmdline() for inside in process.children(recursive=True)):
                return process
    return None


async def test_jails_killed_during_a_script_are_infra_not_a_failure_of_the_script() -> None:
    """A warm jail that dies is followed by a new one for the same script, and that by none."""
    source = "open('a', 'w').write('x')\nimport time\ntime.sleep(60)"
    body = {"source": source, "argv": [VICTIM]}
    with running("--workers", "1", "--wall-s", "60") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
            running_script = asyncio.create_task(client.post("/v1/run", json=body))
            for _ in range(2):
                async with asyncio.timeout(50):
                    while (jail := with_the_script(server)) is None:
                        assert not running_script.done(), running_script.result().text
                        await asyncio.sleep(0.05)
                jail.kill()
                await asyncio.to_thread(psutil.wait_procs, [jail], timeout=30)
            answer = await running_script
        assert answer.status_code == 200
        assert answer.json()["status"] == "infra", answer.text
        assert answer.json()["exit_code"] is None
