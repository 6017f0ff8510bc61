"""A web page can neither run scripts on a service without a token nor read what it says."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.server import Server, running

SCRIPT = b'{"source": "print(1)"}'
JSON = {"content-type": "application/json"}
POSTS = (
    ("/v1/run", SCRIPT),
    ("/v1/validate", b'{"program": "def f(x): return x", "inputs": ["1"]}'),
    ("/run_code", b'{"language": "python", "code": "print(1)"}'),
    ("/run_jupyter", b'{"cells": ["1"]}'),
    ("/v1/run/batch", SCRIPT),
    ("/v1/judge/batch", b"{}"),
)
KINDS = (None, "", "text/plain", "text/plain;application/json", "multipart/form-data",
         "application/x-www-form-urlencoded")  # fmt: skip


@pytest.mark.parametrize(("path", "body"), POSTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_body_must_say_that_it_is_json(
    client: httpx.Client, path: str, body: bytes, kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post(path, content=body, headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"


FOREIGN = [
    {"host": "page.example"},
    {"host": "page.example:8080"},
    {"host": "127.0.0.1.page.example"},
    {"host": "localhost.page.example"},
    {"host": "192.0.2.1"},
    {"host": "a"},
    {"host": ""},
    {"host": "127.0.0.1@page.example"},
    {"origin": "http://page.example"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"origin": "https://127.0.0.1.page.example"},
    {"origin": "file://"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", ["/v1/run", "/v1/run/batch", "/run_code"])
def test_a_foreign_page_is_refused(
    client: httpx.Client, path: str, headers: dict[str, str]
) -> None:
    answer = client.post(path, content=SCRIPT, headers=JSON | headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] in ("foreign_host", "foreign_origin")


@pytest.mark.parametrize("path", ["/", "/v1/info", "/metrics", "/docs", "/openapi.json"])
def test_what_is_read_wants_its_own_name_too(client: httpx.Client, path: str) -> None:
    assert client.get(path, headers={"host": "page.example"}).status_code == 403
    assert client.get("/healthz", headers={"host": "page.example"}).status_code == 200
    assert client.get("/readyz", headers={"host": "page.example"}).status_code == 200


def test_no_preflight_is_answered(client: httpx.Client) -> None:
    asked = {"origin": "http://page.example", "access-control-request-method": "POST",
             "access-control-request-headers": "content-type"}  # fmt: skip
    answer = client.options("/v1/run", headers=asked)
    assert answer.status_code in (403, 405)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_all_its_own_names_are_taken(server: Server, client: httpx.Client) -> None:
    port = server.port
    for host in ("localhost", f"localhost:{port}", "LocalHost", "127.0.0.1", f"127.0.0.2:{port}",
                 "[::1]", f"[::1]:{port}"):  # fmt: skip
        headers = JSON | {"host": host}
        assert client.post("/v1/run", content=SCRIPT, headers=headers).status_code == 200, host
        headers |= {"origin": f"http://{host}"}
        assert client.post("/v1/run", content=SCRIPT, headers=headers).status_code == 200, host


@pytest.fixture(scope="module")
def named() -> Iterator[Server]:
    with running("--workers", "2", "--allowed-host", "executor, other.example") as made:
        yield made


def test_other_names_are_settings(named: Server) -> None:
    for host, expected in (("executor:8080", 200), ("other.example", 200), ("page.example", 403)):
        answer = httpx.post(f"{named.url}/v1/run", content=SCRIPT, headers=JSON | {"host": host})
        assert answer.status_code == expected, host


def test_a_token_takes_the_place_of_names() -> None:
    with running("--workers", "2", "--token", "t") as server:
        headers = JSON | {"host": "page.example", "origin": "http://other.example"}
        url = f"{server.url}/v1/run"
        assert httpx.post(url, content=SCRIPT, headers=headers).status_code == 401
        headers["authorization"] = "Bearer t"
        assert httpx.post(url, content=SCRIPT, headers=headers).status_code == 200


def test_for_other_machines_any_name_will_do_but_no_other_page() -> None:
    with running("--workers", "2", "--host", "0.0.0.0", "--allow-anonymous") as server:
        url = f"{server.url}/v1/run"
        headers = JSON | {"host": "executor.internal:8080"}
        assert httpx.post(url, content=SCRIPT, headers=headers).status_code == 200
        headers["origin"] = "http://page.example"
        assert httpx.post(url, content=SCRIPT, headers=headers).status_code == 403
