"""Whatever is sent: the right status, a sentence, and nothing of the host."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.server import Server, running

JSON = {"content-type": "application/json"}
GOOD = {"program": "def f(x):\n    return x", "inputs": ["1"]}
SCRIPT: dict[str, Any] = {"source": "print(1)"}
FROM_THE_HOST = re.compile(
    r"Traceback|File \"|site-packages|/root|/work|/usr|/home|executor/service"
)


def assert_refused(answer: httpx.Response, *statuses: int) -> str:
    assert answer.status_code in statuses, answer.text[:500]
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["message"]
    assert not FROM_THE_HOST.search(answer.text)
    return str(error["message"])


@pytest.fixture(scope="module")
def operations(server: Server) -> list[tuple[str, str]]:
    """All methods of all paths of the whole service."""
    document = httpx.get(f"{server.url}/openapi.json").json()
    return [(method.upper(), path) for path, known in document["paths"].items() for method in known]


GARBAGE: list[tuple[bytes, str]] = [
    (b"", "application/json"),
    (b"\x00" * 100, "application/json"),
    (b"\xff\xfe\x00", "application/json"),
    (b"null", "application/json"),
    (b"[]", "application/json"),
    (b"{}", "application/json"),
    (b'{"a": 1}', "application/json"),
    (b"{" * 100_000, "application/json"),
    (b"[" * 100_000, "application/json"),
    (b"1e999999", "application/json"),
    (b'"' + b"\\ud800" * 100 + b'"', "application/json"),
    (b"a=b&c=d", "application/x-www-form-urlencoded"),
    (b"<a/>", "text/xml"),
    (b"{}", "application/json; charset=latin-1"),
    (b"{}", ""),
]


@pytest.mark.parametrize(("body", "kind"), GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_at_every_route_is_refused(
    client: httpx.Client, operations: list[tuple[str, str]], body: bytes, kind: str
) -> None:
    assert len(operations) >= 10
    for method, path in operations:
        answer = client.request(method, path, content=body, headers={"content-type": kind})
        assert answer.status_code < 500, (method, path, answer.text)
        assert not FROM_THE_HOST.search(answer.text) or path in ("/docs", "/openapi.json")
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()


def test_other_methods_are_refused_at_every_route(
    client: httpx.Client, operations: list[tuple[str, str]]
) -> None:
    paths = {path for _, path in operations}
    for path in paths:
        known = {method for method, there in operations if there == path}
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} - known:
            answer = client.request(method, path)
            assert_refused(answer, 405)
            assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/validate/", "/../etc/passwd", "/%00"])
def test_there_is_nothing_elsewhere(client: httpx.Client, path: str) -> None:
    assert_refused(client.get(path), 404)


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/v1/validate", {**GOOD, "program": None}, "program"),
        ("/v1/validate", {**GOOD, "inputs": {"a": 1}}, "inputs"),
        ("/v1/validate", {**GOOD, "expects": "nothing"}, "expects"),
        ("/v1/validate", {**GOOD, "options": {"limits": {"wall_s": 1e9}}}, "wall_s"),
        ("/v1/validate", {**GOOD, "options": {"limits": {"wall_s": 11}}}, "allows 10"),
        ("/v1/validate", {**GOOD, "options": {"limits": {"cpu_s": 1.5}}}, "cpu_s"),
        ("/v1/validate", {**GOOD, "options": {"nothing": 1}}, "no such key"),
        ("/v1/validate", {**GOOD, "id": True}, "id"),
        ("/v1/judge", {"task": "song", "answers": []}, "task"),
        ("/v1/judge", {"task": "deduction", "answers": "1"}, "answers"),
        ("/v1/judge", {"task": "deduction", "answers": [], "strict": 1}, "strict"),
        ("/v1/run", {**SCRIPT, "files": {"a": "not base64"}}, "base64"),
        ("/v1/run", {**SCRIPT, "files": {"a": "YQ"}}, "base64"),
        ("/v1/run", {**SCRIPT, "files": {"a": "YQ=="}, "stdin": 1}, "stdin"),
        ("/v1/run", {**SCRIPT, "files": {"a\x00b": ""}}, "a"),
        ("/v1/run", {**SCRIPT, "files": {"../a": ""}}, "a"),
        ("/v1/run", {**SCRIPT, "files": {"/etc/passwd": ""}}, "a"),
        ("/v1/run", {**SCRIPT, "files": {"a/../../b": ""}}, "a"),
        ("/v1/run", {**SCRIPT, "collect": ["/etc/passwd"]}, "a"),
        ("/v1/run", {**SCRIPT, "collect": ["../a"]}, "a"),
        ("/v1/run", {**SCRIPT, "files": {"": ""}}, "a"),
        ("/v1/run", {**SCRIPT, "language": "cobol"}, "language"),
        ("/v1/run", {**SCRIPT, "language": None}, "language"),
        ("/v1/run", {"source": 3}, "source"),
        ("/v1/run", {**SCRIPT, "argv": ["\x00"]}, "a"),
        ("/v1/run", {**SCRIPT, "argv": ["a"] * 100_000}, "a"),
        ("/v1/run", {**SCRIPT, "limits": {"memory_mib": 60_000}}, "allows 512"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_with_a_sentence(
    client: httpx.Client, path: str, body: dict[str, Any], reason: str
) -> None:
    assert reason in assert_refused(client.post(path, json=body), 422)


BODIES = {
    "/v1/validate": ("program", '"program": "def f(x): return x", "inputs": ["1"]'),
    "/v1/judge": ("program", '"task": "deduction", "program": "", "inputs": [], "answers": []'),
    "/v1/run": ("source", '"source": ""'),
    "/run_code": ("code", '"language": "python", "code": ""'),
    "/run_jupyter": ("kernel", '"cells": [], "kernel": "python3"'),
}
ADDITIONS = {
    "a key twice": '"{key}": ""',
    "a key twice, further in": '"files": {{"a": "", "a": ""}}',
    "a lone surrogate": '"files": {{"\\ud800": ""}}',
    "half of a pair in a list": '"inputs": ["\\udc00"], "fetch_files": ["\\udc00"]',
    "a number with too many digits": '"more": ' + "9" * 10_000,
    "deep": '"more": ' + "[" * 100_000 + "]" * 100_000,
    "cut off": '"more": "',
    "trailing text": '"more": 1}} {{',
    "not UTF-8": '"more": "\udcff"',
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("addition", ADDITIONS)
def test_texts_that_two_readers_could_read_differently_are_refused(
    client: httpx.Client, path: str, addition: str
) -> None:
    key, fields = BODIES[path]
    body = "{" + fields + ", " + ADDITIONS[addition].format(key=key) + "}"
    raw = body.encode("utf-8", "surrogateescape")
    answer = client.post(path, content=raw, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert not FROM_THE_HOST.search(answer.text)
    if path.startswith("/v1/"):
        assert_refused(answer, 422)
    else:
        assert all(problem["msg"] for problem in answer.json()["detail"])


def test_texts_of_results_with_lone_surrogates_are_escaped(client: httpx.Client) -> None:
    program = "def f(x):\n    raise ValueError('\\ud800' + chr(0xdfff))"
    answer = client.post("/v1/validate", json={"program": program, "inputs": ["1"]})
    assert answer.status_code == 200
    answer.content.decode("utf-8")
    assert answer.json()["status"] == "error"
    value = client.post(
        "/v1/validate", json={"program": "def f(x):\n    return chr(0xd800)", "inputs": ["1"]}
    )
    assert value.json()["outputs"] == ["'\\ud800'"]


def test_a_body_that_is_too_large_is_refused(client: httpx.Client, server: Server) -> None:
    large = json.dumps({**SCRIPT, "stdin": "x" * (33 << 20)}).encode()
    for path in BODIES:
        assert_refused(client.post(path, content=large, headers=JSON), 413)

    def chunks() -> Iterator[bytes]:  # no content-length: it is noticed while it comes
        for start in range(0, len(large), 1 << 20):
            yield large[start : start + (1 << 20)]

    assert_refused(client.post("/v1/run", content=chunks(), headers=JSON), 413)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8")))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_bytes_are_too_odd(client: httpx.Client, body: bytes) -> None:
    assert_refused(client.post("/v1/validate", content=body, headers=JSON), 422)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["program", "inputs", "outputs", "options", "imports", "id", "source", "files", "argv", "task",
     "answers", "limits", "stdin", "collect", "scoring", "code", "language", "cells"]
)  # fmt: skip


@given(
    st.sampled_from(["/v1/validate", "/v1/judge", "/v1/run"]),
    st.dictionaries(KEYS, JSON_VALUES, max_size=6),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_object_makes_the_service_fail(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    answer = client.post(path, content=json.dumps(body).encode(), headers=JSON)
    if answer.status_code != 200:
        assert_refused(answer, 422)


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """A server that waits for nobody."""
    with running("--workers", "2", "--header-s", "1", "--body-s", "1") as made:
        yield made


def closed_after(connection: socket.socket) -> tuple[float, bytes]:
    started = time.monotonic()
    received = b""
    connection.settimeout(20)
    while True:
        try:
            more = connection.recv(10_000)
        except ConnectionResetError:
            more = b""
        if not more:
            return time.monotonic() - started, received
        received += more


@pytest.mark.parametrize("head", [b"", b"GET", b"GET / HTTP/1.1\r\nhost: localhost\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(impatient: Server, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(head)
        seconds, _ = closed_after(connection)
    assert 0.5 < seconds < 20


def test_a_body_that_does_not_come_is_refused(impatient: Server) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(
            b"POST /v1/run HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 100\r\n\r\n{"
        )
        seconds, received = closed_after(connection)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert 1 < seconds < 20


def test_a_second_request_may_come_late(impatient: Server) -> None:
    with httpx.Client(base_url=impatient.url) as client:
        assert client.get("/healthz").status_code == 200
        time.sleep(2)
        assert client.get("/healthz").status_code == 200


def test_what_is_not_http_is_refused(server: Server) -> None:
    for text in (b"\x16\x03\x01\x02\x00\x01\x00", b"nonsense\r\n\r\n", b"GET  HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(text)
            _, received = closed_after(connection)
        assert received.startswith(b"HTTP/1.1 400 ")
        assert not FROM_THE_HOST.search(received.decode("latin-1"))
    assert httpx.get(f"{server.url}/healthz").status_code == 200
