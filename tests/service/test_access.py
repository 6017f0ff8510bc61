"""Who may call, from where, and that the token goes nowhere."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.server import Server, running

pytestmark = pytest.mark.long

TOKEN = "s3cret-of-the-test"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(TOKEN + "\n")
    with running("--workers", "2", "--token-file", str(path), "--host", "0.0.0.0") as made:
        yield made


def get(server: Server, path: str, authorization: str | None = None) -> httpx.Response:
    headers = {} if authorization is None else {"authorization": authorization}
    return httpx.get(server.url + path, headers=headers)


def test_only_health_is_open(guarded: Server) -> None:
    paths = set(get(guarded, "/openapi.json", f"Bearer {TOKEN}").json()["paths"])
    assert {"/v1/info", "/metrics", "/healthz", "/readyz", "/v1/run"} <= paths
    for path in paths | {"/docs", "/openapi.json", "/nothing"}:
        expected = 200 if path in ("/healthz", "/readyz") else 401
        answer = get(guarded, path)
        assert answer.status_code == expected, path
        if expected == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(
    "wrong",
    ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, "Digest " + TOKEN,
     "Basic " + TOKEN, "Bearer \xff"],
)  # fmt: skip
def test_a_wrong_token_is_refused(guarded: Server, wrong: str) -> None:
    answer = httpx.get(
        f"{guarded.url}/v1/info", headers={b"authorization": wrong.encode("latin-1")}
    )
    assert answer.status_code == 401


def test_the_right_token_is_let_in(guarded: Server) -> None:
    assert get(guarded, "/v1/info", f"Bearer {TOKEN}").status_code == 200
    assert get(guarded, "/v1/info", f"bearer  {TOKEN}").status_code == 200


def test_the_token_is_in_no_log_and_no_process_title(guarded: Server) -> None:
    get(guarded, "/v1/info", f"Bearer {TOKEN}")
    assert TOKEN.encode() not in guarded.raw_log
    server = psutil.Process(guarded.process.pid)
    assert TOKEN not in " ".join(server.cmdline())
    for process in server.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # that of a probe may end meanwhile
            assert TOKEN not in " ".join(process.cmdline())


def test_the_token_of_the_environment_is_not_passed_on() -> None:
    with running("--workers", "2", env={"EXECUTOR_TOKEN": TOKEN}) as server:
        assert get(server, "/v1/info").status_code == 401
        assert get(server, "/v1/info", f"Bearer {TOKEN}").status_code == 200
        seen = 0
        for child in psutil.Process(server.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # that of a probe may end meanwhile
                assert TOKEN not in child.environ().values()
                seen += 1
        assert seen


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "executor", "serve", "--port", "0", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_machines_are_not_served_without_a_token(host: str) -> None:
    ended = serve("--host", host)
    assert ended.returncode == 2
    assert "--allow-anonymous" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_unless_that_is_what_is_wanted() -> None:
    with running("--workers", "2", "--host", "0.0.0.0", "--allow-anonymous", ready=False) as server:
        assert httpx.get(f"{server.url}/v1/info").status_code == 200


def test_settings_that_cannot_work_end_with_a_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for options in (
        ["--token-file", str(tmp_path / "none")],
        ["--token-file", str(empty)],
        ["--token", "a", "--token-file", str(empty)],
        ["--host", "192.0.2.1", "--allow-anonymous"],
        ["--drain-s", "-1"],
        ["--port", "70000"],
        ["--backend", "unknown"],
    ):
        ended = serve(*options)
        assert ended.returncode == 2, options
        assert ended.stderr.startswith("executor: error: "), ended.stderr
        assert ended.stderr.count("\n") == 1, ended.stderr
