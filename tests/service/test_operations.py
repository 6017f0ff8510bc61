"""Health, metrics, logs and documentation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Server
from tests.support.waiting import wait_until

GOOD = {"program": "def f(x):\n    return x", "inputs": ["1"]}


def samples(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: Any, name: str, **labels: str) -> float:
    return float(found.get((name, frozenset(labels.items())), 0))


def test_it_is_alive_and_ready(client: httpx.Client) -> None:
    for path in ("/healthz", "/readyz"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_info_says_what_it_is(client: httpx.Client) -> None:
    info = client.get("/v1/info").json()
    assert info["backend"] == "nsjail"
    assert info["isolated"] is True
    assert info["interpreter"].startswith("CPython 3.12")
    assert info["limits"]["wall_s"] == 10
    assert info["stats"]["workers"]
    assert set(info["stats"]["queue_depth"]) == {"verify", "run"}


def test_work_is_counted(client: httpx.Client) -> None:
    before = samples(client)
    client.post("/v1/validate", json=GOOD)
    client.post("/v1/judge", json={"task": "deduction", "outputs": ["1"], "answers": ["1", "2"]})
    client.post("/v1/run", json={"source": "raise SystemExit(3)"})
    client.post("/v1/judge", json={"task": "deduction", "outputs": ["1"], "answers": ["1) or (1"]})
    client.post("/v1/run", json={})
    client.get("/some/thing")
    after = samples(client)

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("executor_runs_total", task="validate", status="ok") == 1
    assert grown("executor_runs_total", task="deduction", status="ok") == 1
    assert grown("executor_runs_total", task="deduction", status="mismatch") == 1
    assert grown("executor_runs_total", task="run", status="error") == 1
    assert grown("executor_signals_total", task="deduction", signal="injection") == 1
    assert grown("executor_run_seconds_count", task="run") == 1
    assert grown("executor_queue_seconds_count", task="run") == 1
    requests = "executor_http_requests_total"
    assert grown(requests, route="/v1/run", method="POST", code="200") == 1
    assert grown(requests, route="/v1/run", method="POST", code="422") == 1
    assert grown(requests, route="unmatched", method="GET", code="404") == 1
    assert grown("executor_http_request_seconds_count", route="/v1/judge") == 2


def test_labels_are_few_whatever_clients_send(client: httpx.Client) -> None:
    before = len(samples(client))
    for number in range(20):
        client.get(f"/{number}")
        client.request(f"METHOD{number}", "/healthz")
    assert len(samples(client)) < before + 8


def test_the_state_can_be_read(client: httpx.Client) -> None:
    found = samples(client)
    names = {name for name, _ in found}
    assert {
        "executor_queue_depth",
        "executor_queue_oldest_seconds",
        "executor_workers",
        "executor_worker_restarts_total",
        "executor_cache_hits_total",
        "executor_cache_misses_total",
        "executor_build_info",
        "executor_batches",
    } <= names
    assert value(found, "executor_workers", kind="bare", state="idle") > 0


def test_jails_for_scripts_are_counted_by_state(client: httpx.Client, server: Server) -> None:
    source = "open('a', 'w').write('x')\nimport time\ntime.sleep(float(input()))"

    def run(seconds: float) -> None:
        answer = client.post("/v1/run", json={"source": source, "stdin": f"{seconds}\n"})
        assert answer.json()["status"] == "ok", answer.text

    def jails(state: str) -> float:
        return value(samples(client), "executor_script_jails", state=state)

    wait_until(lambda: any(line["event"] == "proven" for line in server.log), 60)
    run(0)
    wait_until(lambda: (jails("busy"), jails("starting")) == (0, 0))
    kept = jails("idle")
    assert kept >= 1
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(run, 5)
        wait_until(lambda: jails("busy") == 1)
        assert (jails("idle"), jails("starting")) == (kept - 1, 0)
        assert not running.done()
    wait_until(lambda: jails("idle") == kept)
    found = client.get("/v1/info").json()["stats"]["script_jails"]
    assert found == {"idle": kept, "busy": 0, "starting": 0}


def test_promtool_has_no_objection(client: httpx.Client) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    client.post("/v1/validate", json=GOOD)
    text = client.get("/metrics").content
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_requests_have_an_identity(client: httpx.Client, server: Server) -> None:
    made = client.get("/healthz").headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{16}", made)
    taken = client.post("/v1/run", json={}, headers={"x-request-id": "my-id.1"})
    assert taken.headers["x-request-id"] == "my-id.1"
    assert taken.json()["error"]["request_id"] == "my-id.1"
    for odd in ("a b", "<a>", '"', "x" * 200, ""):
        answer = client.get("/healthz", headers={"x-request-id": odd})
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
    wait_until(lambda: any(line.get("request_id") == "my-id.1" for line in server.log))
    (line,) = [line for line in server.log if line.get("request_id") == "my-id.1"]
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/run", 422)
    assert line["ms"] > 0


def test_every_line_of_the_log_is_json_and_holds_no_program(
    client: httpx.Client, server: Server
) -> None:
    marker = "a_name_to_look_for"
    client.post("/v1/validate", json={**GOOD, "program": f"def f({marker}):\n    return 1"})
    client.post("/v1/validate", json={**GOOD, marker: 1})
    client.get("/healthz", headers={"x-request-id": "last-of-these"})
    wait_until(lambda: b"last-of-these" in server.raw_log)
    for line in server.raw_log.splitlines():
        entry = json.loads(line)
        assert {"event", "level", "timestamp"} <= entry.keys()
    assert marker.encode() not in server.raw_log


def test_the_documentation_shows_all_models(client: httpx.Client) -> None:
    assert client.get("/docs").status_code == 200
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"ValidateRequest", "JudgeRequest", "RunRequest", "Verdict", "Judgement"} <= set(schemas)
    assert {"ScriptResult", "RunLine", "BatchEnd", "ErrorBody", "Info", "Options"} <= set(schemas)
    references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document))
    assert set(references) <= set(schemas)
    for path in ("/v1/validate", "/v1/judge", "/v1/run"):
        for suffix in ("", "/batch"):
            operation = document["paths"][path + suffix]["post"]
            assert operation["requestBody"]["content"]
            assert {"200", "401", "429", "503"} <= set(operation["responses"])
