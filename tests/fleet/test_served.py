"""``serve --host-processes``: one port and one page of metrics, whatever process is killed."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.support.programs import PATIENT_FLAGS
from tests.support.server import Server, running
from tests.support.waiting import wait_until, wait_until_gone

pytestmark = pytest.mark.long

SLOW = "def f(x):\n    import time\n    time.sleep(0.02)\n    return x * 2"
COUNT = 300


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("--host-processes", "2", "--workers", "4", *PATIENT_FLAGS) as started:
        yield started


def processes(server: Server) -> list[int]:
    """The processes that have an executor."""
    children = psutil.Process(server.process.pid).children()
    return [child.pid for child in children if "executor.fleet.child" in child.cmdline()]


def metric(server: Server, name: str) -> float:
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def test_the_service_is_one(server: Server) -> None:
    assert len(processes(server)) == 2
    info = httpx.get(f"{server.url}/v1/info", timeout=60).json()
    assert info["workers"] == 4
    assert metric(server, "executor_processes") == 2
    assert metric(server, "executor_build_info") == 1


def test_a_batch_is_whole_though_processes_are_killed(server: Server) -> None:
    options: dict[str, Any] = {"rules": {"banned_modules": []}}
    rows = [{"program": SLOW, "inputs": [str(n)], "options": options} for n in range(COUNT)]
    body = "\n".join(map(json.dumps, rows))
    restarts = metric(server, "executor_process_restarts_total")
    results = []
    with httpx.stream(
        "POST",
        f"{server.url}/v1/validate/batch",
        content=body,
        headers={"content-type": "application/x-ndjson"},
        timeout=100,
    ) as answer:
        for line in answer.iter_lines():
            results.append(json.loads(line))
            if len(results) in (40, 150):
                os.kill(processes(server)[0], signal.SIGKILL)
    *results, end = results
    assert end == {"end": True, "items": COUNT}
    assert {r["index"]: (r["status"], r["outputs"]) for r in results} == {
        n: ("ok", [str(2 * n)]) for n in range(COUNT)
    }
    wait_until(lambda: metric(server, "executor_process_restarts_total") == restarts + 2)
    wait_until(lambda: metric(server, "executor_processes") == 2)
    assert metric(server, "executor_runs_total") >= COUNT


def test_the_end_leaves_nothing() -> None:
    with running("--host-processes", "2", "--workers", "2") as server:
        below = server.below()
        assert set(processes(server)) < {process.pid for process in below}
        server.signal()
        assert server.exit_code() == 0
    wait_until_gone(below)
