"""The service as people deploy it: image built, compose up, triplets verified through it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
BASE = "absolute-zero-base:local"
PORT = "18473"
# Room for a probe that met a busy machine, which takes 10 s and is tried again.
HEALTHY_S = 300
WALL_S = 60
AT_ONCE = 4
SETTINGS = {
    "BASE_IMAGE": BASE,
    "COMPOSE_PROJECT_NAME": "executortest",
    "EXECUTOR_PORT": PORT,
    "EXECUTOR_TOKEN": "",
    "EXECUTOR_WALL_S": str(WALL_S),
}
JSON = {"content-type": "application/json"}


def run(*command: str, timeout: float = 120) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | SETTINGS, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    return done.stdout


def why_not() -> str:
    if shutil.which("docker") is None or shutil.which("docker-compose") is None:
        return "docker and docker-compose are not installed"
    if subprocess.run(
        ["docker", "version"], capture_output=True, timeout=30, check=False
    ).returncode:
        return "no Docker engine answers"
    if subprocess.run(
        ["docker", "image", "inspect", BASE], capture_output=True, check=False
    ).returncode:
        return f"there is no image {BASE} (scripts/make_base_image.sh makes it)"
    return ""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    reason = why_not()
    if reason:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    compose = ("docker-compose", "--no-ansi")
    run(*compose, "build", "executor", timeout=900)
    try:
        run(*compose, "up", "-d", "executor")
        started = time.monotonic()
        while health() != "healthy":
            if time.monotonic() - started > HEALTHY_S:
                logs = run(*compose, "logs", "executor")
                pytest.fail(f"not healthy within {HEALTHY_S} s: {logs[-3000:]}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{PORT}"
    finally:
        run(*compose, "down", "-v")


def container() -> dict[str, Any]:
    name = run("docker-compose", "ps", "-q", "executor").strip()
    found: dict[str, Any] = json.loads(run("docker", "inspect", name))[0]
    return found


def health() -> str:
    return str(container()["State"]["Health"]["Status"])


pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]


Row = dict[str, Any]


def differs(client: httpx.Client, row: Row) -> tuple[str, Row, Row] | None:
    """What the service says of an example, if that is not what it is known to be."""
    body = {
        "program": row["program"],
        "inputs": row.get("inputs") or [row.get("input")],
        "imports": row.get("imports") or [],
        "expects": "error" if row.get("task") == "error" else "value",
        # On a busy machine a second of processor time takes long: the wall limit must not come
        # first.
        "options": {"limits": {"cpu_s": 1, "wall_s": WALL_S}},
    }
    if row["expected"]["status"] == "malformed" or None in body["inputs"]:
        return None
    given = row.get("outputs") or ([row["output"]] if row.get("output") else None)
    content = json.dumps({**body, "outputs": given})
    answer = client.post("/v1/validate", content=content, headers=JSON)
    if "\\ud800" in content:  # JSON over HTTP is UTF-8, which has no lone surrogates
        assert answer.status_code == 422
        return None
    verdict = answer.json()
    as_expected = verdict.get("status") == row["expected"]["status"]
    return None if as_expected else (row["id"], row["expected"], verdict)


def test_example_triplets_have_their_verdicts_through_the_container(service: str) -> None:
    lines = (ROOT / "executor/examples/triplets.jsonl").read_text().splitlines()
    with (
        httpx.Client(base_url=service, timeout=3 * WALL_S) as client,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        found = list(threads.map(partial(differs, client), map(json.loads, lines)))
    assert [one for one in found if one is not None] == []


def test_scripts_run_in_a_jail_of_their_own_in_the_container(service: str) -> None:
    source = "import os; open('a', 'w').write('x'); print(os.getuid(), os.path.exists('/opt'))"
    result = httpx.post(f"{service}/v1/run", json={"source": source}, timeout=60).json()
    assert result["status"] == "ok", result
    bash = {"language": "bash", "source": "echo one | tr a-z A-Z"}
    result = httpx.post(f"{service}/v1/run", json=bash, timeout=60).json()
    assert (result["status"], result["stdout"]) == ("ok", "T05FCg=="), result


def test_the_container_has_no_privilege(service: str) -> None:
    found = container()
    host = found["HostConfig"]
    assert found["Config"]["User"] == "1000:1000"
    assert (host["Privileged"], host["ReadonlyRootfs"]) == (False, True)
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
