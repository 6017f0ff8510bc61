"""A real weakness: no work is taken, unless it is waived; then all results say so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from executor import Executor, JudgeTask, Script, TaskType, Triplet
from executor.api.differential import DifferentialExecutor
from executor.cli.app import main
from executor.client import RemoteExecutor
from tests.support.server import Server, running
from tests.support.strict_serve import GATE, STRICT, WEAK
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

SMALL = ("--workers", "2")
HEADER = "x-executor-weaknesses"
TRIPLET = {"program": "def f(x):\n    return x", "inputs": ["1"]}
TASK = {"task": "deduction", "outputs": ["1"], "answers": ["1", "2"]}
SCRIPT = {"source": "print(1)"}
ITEMS = {"validate": TRIPLET, "judge": TASK, "run": SCRIPT}


@pytest.fixture(scope="module")
def weak() -> Iterator[Server]:
    """A server that waives what fails, and a slow probe that holds; all of them were tried."""
    with running(*SMALL, program=STRICT, env={"EXECUTOR_WAIVE": f"cpu, {WEAK}"}) as server:
        wait_until(lambda: states(server) == {"cpu": "holds", WEAK: "fails"}, 60)
        yield server


def states(server: Server) -> dict[str, str]:
    return {p["name"]: p["state"] for p in httpx.get(f"{server.url}/readyz").json()["waived"]}


@pytest.fixture
def caller(weak: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=weak.url, timeout=60) as made:
        yield made


def waived(answer: httpx.Response) -> dict[str, tuple[str, str]]:
    return {p["name"]: (p["state"], p["happened"]) for p in answer.json()["waived"]}


def test_a_weakness_keeps_the_service_from_its_work() -> None:
    with running(*SMALL, program=STRICT, ready=False) as server:
        assert WEAK in server.wait_for("not ready")["problem"]
        answer = httpx.get(f"{server.url}/readyz")
        assert answer.status_code == 503
        assert answer.json()["status"].startswith(f"not as it should be: {WEAK} (ok: True)")
        refused = httpx.post(f"{server.url}/v1/validate", json=TRIPLET)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")


def test_a_slow_probe_that_fails_ends_the_work_of_a_service_that_was_ready(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with (
        running(*SMALL, program=STRICT, env={GATE: str(gate)}) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        assert client.get("/readyz").json() == {"status": "ok"}
        assert client.post("/v1/validate", json=TRIPLET).json()["valid"]
        gate.touch()
        server.wait_for("not ready")
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert f"{WEAK} (ok: True)" in answer.json()["status"]
        for name, body in ITEMS.items():
            refused = client.post(f"/v1/{name}", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")


def test_with_a_waiver_it_stays_ready_and_results_tell_what_is_known(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    options = (*SMALL, "--waive", WEAK, "--waive", "cpu")
    with (
        running(*options, program=STRICT, env={GATE: str(gate)}) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        assert waived(answer) == {"cpu": ("not tried yet", ""), WEAK: ("not tried yet", "")}
        before = client.post("/v1/validate", json=TRIPLET)
        assert before.json()["weaknesses"] == ["cpu", WEAK]
        assert before.headers[HEADER] == f"cpu, {WEAK}"
        gate.touch()
        wait_until(lambda: states(server) == {"cpu": "holds", WEAK: "fails"}, 60)
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        assert waived(answer)[WEAK] == ("fails", "ok: True")
        hits = client.get("/v1/info").json()["stats"]["cache_hits"]
        after = client.post("/v1/validate", json=TRIPLET)
        assert after.json()["weaknesses"] == [WEAK]
        assert client.get("/v1/info").json()["stats"]["cache_hits"] > hits
        told = [line for line in server.log if line["event"] == "waived"]
        assert [(line["level"], line["name"], line["state"]) for line in told] == [
            ("warning", WEAK, "fails")
        ]


@pytest.mark.parametrize("name", ITEMS)
def test_every_result_names_what_is_waived_and_fails(caller: httpx.Client, name: str) -> None:
    single = caller.post(f"/v1/{name}", json=ITEMS[name])
    assert single.json()["weaknesses"] == [WEAK]
    assert single.headers[HEADER] == WEAK
    lines = f"{json.dumps(ITEMS[name])}\nnonsense\n"
    batch = caller.post(
        f"/v1/{name}/batch", content=lines, headers={"content-type": "application/x-ndjson"}
    )
    *results, end = map(json.loads, batch.text.splitlines())
    assert [result["weaknesses"] for result in results] == [[WEAK], [WEAK]]
    assert end == {"end": True, "items": 2}
    assert batch.headers[HEADER] == WEAK


def test_answers_in_the_form_of_sandboxfusion_have_the_header_alone(caller: httpx.Client) -> None:
    answer = caller.post("/run_code", json={"language": "python", "code": "print(1)"})
    assert answer.headers[HEADER] == WEAK
    assert answer.json()["run_result"]["stdout"] == "1\n"
    assert WEAK not in answer.text
    cells = caller.post("/run_jupyter", json={"cells": ["1 + 1"]})
    assert cells.headers[HEADER] == WEAK


def test_those_who_run_it_are_told(caller: httpx.Client) -> None:
    for answer in (caller.get("/readyz"), caller.get("/v1/info")):
        assert answer.status_code == 200
        assert waived(answer).keys() == {"cpu", WEAK}
        assert waived(answer)[WEAK] == ("fails", "ok: True")
    (family,) = [
        family
        for family in text_string_to_metric_families(caller.get("/metrics").text)
        if family.name == "executor_waived_probes"
    ]
    found = [
        (sample.labels["probe"], sample.labels["state"], sample.value) for sample in family.samples
    ]
    assert found == [("cpu", "holds", 1), (WEAK, "fails", 1)]


def test_where_nothing_is_waived_nothing_is_said(client: httpx.Client) -> None:
    for name, body in ITEMS.items():
        answer = client.post(f"/v1/{name}", json=body)
        assert HEADER not in answer.headers
        assert "weaknesses" not in answer.json()
    assert client.get("/v1/info").json()["waived"] == []
    assert "executor_waived_probes{" not in client.get("/metrics").text


async def test_the_client_passes_it_on(weak: Server) -> None:
    triplet = Triplet(program="def f(x):\n    return x", inputs=("1",))
    task = JudgeTask(task=TaskType.DEDUCTION, outputs=("1",), answers=("1",))
    async with RemoteExecutor(weak.url) as executor:
        (warning,) = [text for text in executor.info.warnings if "waives" in text]
        assert f"{WEAK} (fails)" in warning
        results: list[Any] = [
            await executor.validate(triplet),
            await executor.judge(task),
            await executor.run(Script(source="print(1)")),
            *[verdict async for verdict in executor.validate_many([triplet] * 3)],
            *[judgement async for judgement in executor.judge_many([task] * 3)],
        ]
    assert {result.weaknesses for result in results} == {(WEAK,)}


async def test_it_is_no_disagreement_between_backends(weak: Server) -> None:
    triplet = Triplet(program="def f(x):\n    return x + 1", inputs=("1",))
    remote, local = RemoteExecutor(weak.url), Executor("nsjail", workers=2)
    async with DifferentialExecutor(remote, local) as both:
        verdict = await both.validate(triplet)
    assert (verdict.valid, verdict.disagreement, verdict.weaknesses) == (True, None, (WEAK,))
    remote, local = RemoteExecutor(weak.url), Executor("nsjail", workers=2)
    async with DifferentialExecutor(local, remote) as both:
        verdict = await both.validate(triplet)
    assert (verdict.valid, verdict.disagreement, verdict.weaknesses) == (True, None, ())


@pytest.mark.parametrize(("command", "item"), [("verify", TRIPLET), ("judge", TASK)])
def test_rows_of_the_command_line_have_it(
    weak: Server, tmp_path: Path, command: str, item: dict[str, Any], capfd: Any
) -> None:
    file, out = tmp_path / "in", tmp_path / "out"
    file.write_text(json.dumps(item))
    assert main([command, str(file), "--backend", "http", "--url", weak.url, "-o", str(out)]) == 0
    assert json.loads(out.read_text())["weaknesses"] == [WEAK]
    assert WEAK in capfd.readouterr().err
    assert main([command, str(file), "-o", str(out)]) == 0
    assert "weaknesses" not in json.loads(out.read_text())


@pytest.mark.parametrize(
    ("options", "variable", "close"),
    [(("--waive", "script-nework"), "", "script-network"), ((), "memory,cpus", "cpu")],
)
def test_a_name_that_is_no_probe_is_refused(
    options: tuple[str, ...], variable: str, close: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTOR_WAIVE", variable)
    command = [sys.executable, "-m", "executor", "serve", "--port", "0", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("executor: error: --waive '")
    assert f"(close: {close}" in ended.stderr
    assert "executor doctor" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_documentation_shows_the_models(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert "not tried yet" in schemas["WaivedState"]["enum"]
    assert set(schemas["WaivedProbe"]["properties"]) == {"name", "state", "happened"}
    for model in ("Info", "Ready"):
        items = schemas[model]["properties"]["waived"]["items"]
        assert items == {"$ref": "#/components/schemas/WaivedProbe"}
    for model in ("Verdict", "Judgement", "ScriptResult", "RunLine"):
        assert schemas[model]["properties"]["weaknesses"]["items"] == {"type": "string"}
    for path in ("/v1/run", "/v1/run/batch", "/run_code"):
        headers = document["paths"][path]["post"]["responses"]["200"]["headers"]
        assert "X-Executor-Weaknesses" in headers
