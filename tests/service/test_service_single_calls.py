"""Calls for one item, over HTTP, to a real server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "executor", "serve", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(url)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0


def _wait_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError("the service was not ready in time")


def test_a_sound_triplet_is_valid(server: str) -> None:
    body = {"program": "def f(x):\n    return x + 1", "inputs": ["1"], "outputs": ["2"]}
    verdict = httpx.post(f"{server}/v1/validate", json=body).json()
    assert (verdict["status"], verdict["valid"], verdict["outputs"]) == ("ok", True, ["2"])


def test_answers_are_scored(server: str) -> None:
    body = {"task": "deduction", "outputs": ["2"], "answers": ["1 + 1", "3"]}
    judgement = httpx.post(f"{server}/v1/judge", json=body).json()
    assert judgement["scores"] == [1.0, 0.0]


def test_a_script_brings_its_output(server: str) -> None:
    result = httpx.post(f"{server}/v1/run", json={"source": "print('hello')"}).json()
    assert (result["status"], result["stdout"]) == ("ok", "aGVsbG8K")


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"program": 1, "inputs": ["1"]}', b'{"program": "", "program": ""}']
)
def test_bad_bodies_are_refused_with_a_sentence(server: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{server}/v1/validate", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert json.loads(answer.content)["error"]["message"]
