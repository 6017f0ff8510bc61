"""How the server ends: draining, the second signal, and that nothing is left."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from tests.support.programs import ENDLESS, PATIENT_FLAGS
from tests.support.server import Server, running, verifying
from tests.support.waiting import wait_until, wait_until_gone

pytestmark = pytest.mark.long

SLEEP = "def f(x):\n    import time\n    time.sleep({})\n    return 1"
PATIENT = ("--workers", "2", *PATIENT_FLAGS)
"""Limits that no program here reaches, however busy the machine is."""
OPEN: dict[str, Any] = {"rules": {"banned_modules": []}}


def sleep(seconds: float) -> dict[str, Any]:
    return {"program": SLEEP.format(seconds), "inputs": ["1"], "options": OPEN}


def validate(server: Server, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/validate", json=body, timeout=60)


def is_draining(server: Server) -> bool:
    return httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503


def assert_nothing_left(below: list[psutil.Process]) -> None:
    wait_until_gone(below)


def test_running_work_finishes_and_no_more_is_taken() -> None:
    with running(*PATIENT) as server, ThreadPoolExecutor() as threads:
        below = server.below()
        assert len(below) > 4
        running_call = threads.submit(validate, server, sleep(5))
        wait_until(lambda: verifying(server) > 0)
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_draining(server))
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        refused = validate(server, sleep(0))
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "draining"
        assert int(refused.headers["retry-after"]) >= 1
        answer = running_call.result()
        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"
        assert server.exit_code() == 0
    assert_nothing_left(below)


def test_what_does_not_finish_in_time_is_answered_so() -> None:
    with running(*PATIENT, "--drain-s", "1") as server, ThreadPoolExecutor() as threads:
        below = server.below()
        call = threads.submit(validate, server, {"program": ENDLESS, "inputs": ["1"]})
        wait_until(lambda: verifying(server) > 0)
        stopped = time.monotonic()
        server.signal(signal.SIGINT)
        assert call.result().status_code == 503
        assert call.result().json()["error"]["code"] == "draining"
        assert server.exit_code() == 0
        assert time.monotonic() - stopped < 30
    assert_nothing_left(below)


def batch_lines(server: Server, first: bytes, more: threading.Event) -> list[dict[str, Any]]:
    def body() -> Any:
        yield first
        more.wait(100)
        yield first

    with httpx.stream(
        "POST", f"{server.url}/v1/validate/batch", content=body(), timeout=60,
        headers={"content-type": "application/x-ndjson"},
    ) as answer:  # fmt: skip
        return [json.loads(line) for line in answer.iter_lines()]


def test_a_batch_finishes_what_it_has_and_says_where_it_stopped() -> None:
    more = threading.Event()
    first = b"".join(json.dumps(sleep(0.5)).encode() + b"\n" for _ in range(2))
    with running(*PATIENT) as server, ThreadPoolExecutor() as threads:
        lines = threads.submit(batch_lines, server, first, more)
        wait_until(lambda: verifying(server) == 2)
        server.signal()
        wait_until(lambda: is_draining(server))
        more.set()
        *results, end = lines.result()
        assert [result["status"] for result in results] == ["ok", "ok"]
        assert (end["end"], end["items"], end["error"]["code"]) == (False, 2, "draining")
        assert server.exit_code() == 0


def has_validated_one(server: Server) -> bool:
    told = httpx.get(f"{server.url}/metrics", timeout=60).text
    return 'executor_runs_total{status="ok",task="validate"} 1.0' in told


def test_a_batch_that_does_not_finish_in_time_has_a_last_line_too() -> None:
    first = json.dumps(sleep(0)).encode() + b"\n"
    first += json.dumps({"program": ENDLESS, "inputs": ["1"]}).encode() + b"\n"
    with running(*PATIENT, "--drain-s", "1") as server, ThreadPoolExecutor() as threads:
        more = threading.Event()
        lines = threads.submit(batch_lines, server, first, more)
        wait_until(lambda: (has_validated_one(server), verifying(server)) == (True, 1))
        server.signal()
        wait_until(lambda: server.process.poll() is not None)
        more.set()
        result, end = lines.result()
        assert (result["index"], result["status"]) == (0, "ok")
        assert (end["end"], end["items"], end["error"]["code"]) == (False, 1, "draining")
        assert server.exit_code() == 0


def test_the_second_signal_ends_all_at_once() -> None:
    with running(*PATIENT) as server, ThreadPoolExecutor() as threads:
        below = server.below()
        call = threads.submit(validate, server, sleep(60))
        wait_until(lambda: verifying(server) > 0)
        server.signal()
        wait_until(lambda: is_draining(server))
        server.signal()
        assert server.exit_code(20) == 128 + signal.SIGTERM
        failure = call.exception()
        assert isinstance(failure, httpx.TransportError) or call.result().status_code == 503
    assert_nothing_left(below)


def test_a_signal_before_it_is_up_ends_it() -> None:
    with running("--workers", "2", ready=False) as server:
        below = server.below()
        server.signal()
        assert server.exit_code() == 0
    assert_nothing_left(below)
