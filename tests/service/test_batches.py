"""Batches, on the real server."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.support.programs import ENDLESS
from tests.support.server import Server, busy, running, stats, verifying
from tests.support.waiting import wait_until

LINES = {"content-type": "application/x-ndjson"}
OPEN_RULES = {"banned_modules": [], "min_parameters": 0}


def triplet(program: str, **more: Any) -> bytes:
    return json.dumps({"program": program, "inputs": ["1"], **more}).encode() + b"\n"


def plus(number: int) -> bytes:
    return triplet(f"def f(x):\n    return x + {number}", id=number)


def batch(client: httpx.Client, path: str, body: bytes) -> tuple[list[dict[str, Any]], Any]:
    answer = client.post(path, content=body, headers=LINES)
    assert answer.status_code == 200, answer.text
    *results, end = [json.loads(line) for line in answer.text.splitlines()]
    return results, end


def test_ten_thousand_lines_get_ten_thousand_results(client: httpx.Client) -> None:
    body = b"".join(plus(number % 100) for number in range(10_000))
    results, end = batch(client, "/v1/validate/batch", body)
    assert end == {"end": True, "items": 10_000}
    assert sorted(result["index"] for result in results) == list(range(10_000))
    for result in results:
        assert result["id"] == result["index"] % 100
        assert result["outputs"] == [str(result["id"] + 1)]


def test_results_come_while_lines_are_still_being_sent(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/v1/validate/batch")
    connection.putheader("content-type", "application/x-ndjson")
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    connection.send(chunk(plus(1)))
    answer = connection.getresponse()
    assert json.loads(answer.readline())["outputs"] == ["2"]
    for number in range(2, 5):
        half = len(plus(number)) // 2
        connection.send(chunk(plus(number)[:half]))
        connection.send(chunk(plus(number)[half:]))
        assert json.loads(answer.readline())["id"] == number
    connection.send(b"0\r\n\r\n")
    assert json.loads(answer.readline()) == {"end": True, "items": 4}
    assert answer.readline() == b""
    connection.close()


def test_results_can_be_had_in_order(client: httpx.Client) -> None:
    sleep = "def f(x):\n    import time\n    time.sleep(0.5)"
    slow = triplet(sleep, options={"rules": OPEN_RULES})
    body = slow + b"".join(map(plus, range(50)))
    results, _ = batch(client, "/v1/validate/batch?ordered=true", body)
    assert [result["index"] for result in results] == list(range(51))
    results, _ = batch(client, "/v1/validate/batch", body)
    assert sorted(result["index"] for result in results) == list(range(51))


BAD_LINES = [
    (b"nonsense", "not JSON"),
    (b'{"program": ""', "not JSON"),
    (b"[]", "object"),
    (b'"text"', "object"),
    (b"NaN", "NaN"),
    (b'{"program": 1, "inputs": ["1"]}', "program"),
    (b'{"program": "", "inputs": "1"}', "inputs"),
    (b'{"program": "", "inputs": []}', "inputs"),
    (b'{"program": "", "inputs": [1]}', "inputs.0"),
    (b'{"program": "", "inputs": ["1"], "extra": 1}', "extra: there is no such key"),
    (b'{"program": "", "program": "", "inputs": ["1"]}', "program is there twice"),
    (b'{"program": "", "inputs": ["1"], "options": {"runs": 2, "runs": 3}}', "twice"),
    (b'{"program": "", "inputs": ["1"], "options": {"runs": "2"}}', "options.runs"),
    (b'{"program": "", "inputs": ["1"], "options": {"runs": 1}}', "options.runs"),
    (b'{"program": "", "inputs": ["1"], "options": {"limits": {"wall_s": 99}}}', "wall_s"),
    (b'{"program": "", "inputs": ["1"], "options": {"limits": {"wall_s": NaN}}}', "NaN"),
    (b'{"program": "", "inputs": ["1"], "id": 1.5}', "id"),
    (b'{"program": "\\ud800", "inputs": ["1"]}', "surrogate"),
    (b'{"program": "", "inputs": ["\\udfff"]}', "surrogate"),
    (b'{"program": "\xff", "inputs": ["1"]}', "UTF-8"),
    (b'{"program": "\xed\xa0\x80", "inputs": ["1"]}', "not"),
    (b'{"program": "", "inputs": ["1", "2"], "outputs": ["1"]}', "2 inputs but 1 outputs"),
    (b'{"program": "", "inputs": ["1"], "x": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", "deep"),
    (b'{"program": "", "inputs": ["1"], "id": ' + b"9" * 5000 + b"}", "digits"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_gets_a_sentence_and_the_rest_goes_on(
    client: httpx.Client, line: bytes, reason: str
) -> None:
    body = plus(1) + line + b"\n\n" + plus(2)
    results, end = batch(client, "/v1/validate/batch?ordered=true", body)
    assert end == {"end": True, "items": 3}
    assert [result["status"] for result in results] == ["ok", "malformed", "ok"]
    assert reason in results[1]["detail"]
    assert results[1]["valid"] is False
    assert len(results[1]["detail"]) < 400
    single = client.post("/v1/validate", content=line, headers={"content-type": "application/json"})
    assert single.status_code == 422
    assert single.json()["error"]["message"] == results[1]["detail"]


def test_a_line_that_is_too_long_is_malformed(client: httpx.Client) -> None:
    long = triplet("def f(x): return x #" + "x" * (8 << 20))
    results, end = batch(
        client, "/v1/validate/batch?ordered=true", plus(1) + long + plus(2) + long.strip()
    )
    assert [r["status"] for r in results] == ["ok", "malformed", "ok", "malformed"]
    assert end["items"] == 4


def test_an_empty_batch_ends_at_once(client: httpx.Client) -> None:
    assert batch(client, "/v1/judge/batch", b"\n \n") == ([], {"end": True, "items": 0})


def test_tasks_have_batches_too(client: httpx.Client) -> None:
    task = {"task": "deduction", "outputs": ["2"], "answers": ["1 + 1", "3"], "id": "t"}
    results, _ = batch(client, "/v1/judge/batch", json.dumps(task).encode() + b"\n{}")
    scored, malformed = sorted(results, key=lambda result: result["index"])
    assert (scored["id"], scored["scores"]) == ("t", [1.0, 0.0])
    assert (malformed["status"], malformed["scores"]) == ("malformed", [])


def test_scripts_have_batches_too(client: httpx.Client) -> None:
    lines = [
        b'{"source": "print(7)"}',
        b'{"source": "", "files": {"a\\u0000b": ""}}',
        b'{"source": "", "files": {"../a": ""}}',
        b'{"source": "", "files": {"/a": ""}}',
        b'{"source": "", "files": {"a": "%"}}',
        b'{"source": "", "files": {"a": 1}}',
        b'{"source": "", "argv": ["\\u0000"]}',
        b'{"source": "", "limits": {"memory_mib": 65536}}',
    ]
    results, _ = batch(client, "/v1/run/batch?ordered=1", b"\n".join(lines))
    assert [r["status"] for r in results] == ["ok"] + ["malformed"] * (len(lines) - 1)
    assert results[0]["stdout"] == "Nwo="


def test_a_client_that_leaves_ends_its_batch(patient_server: Server) -> None:
    server = patient_server
    body = b"".join(triplet(ENDLESS + f"  # {number}") for number in range(200))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /v1/validate/batch HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/x-ndjson\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        wait_until(lambda: verifying(server) > 0)
    wait_until(lambda: busy(stats(server)) == 0, 30)  # less than the programs' limits
    wait_until(lambda: any(line.get("status") == 499 for line in server.log))


def test_what_is_not_a_batch_is_refused(client: httpx.Client) -> None:
    path = "/v1/validate/batch"
    assert client.post(path + "?ordered=maybe", content=b"", headers=LINES).status_code == 422
    wrong = {"content-type": "text/html"}
    assert client.post(path, content=b"", headers=wrong).status_code == 415
    packed = {**LINES, "content-encoding": "gzip"}
    assert client.post(path, content=b"", headers=packed).status_code == 415


@pytest.fixture(scope="module")
def small_server() -> Iterator[Server]:
    """Little patience, little room."""
    options = ["--batches", "1", "--stall-s", "4", "--idle-s", "4", "--workers", "2"]
    with running(*options) as made:
        yield made


def open_batch(server: Server, *headers: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = [
        b"POST /v1/validate/batch HTTP/1.1",
        b"host: localhost",
        b"content-type: application/x-ndjson",
        b"transfer-encoding: chunked",
        *headers,
    ]
    connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
    return connection


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def receive_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        more = connection.recv(100_000)
        assert more, received
        received += more
    return received


def test_one_batch_too_many_is_told_to_come_back(small_server: Server) -> None:
    with open_batch(small_server) as connection:
        assert b" 200 " in connection.recv(1000)
        answer = httpx.post(f"{small_server.url}/v1/validate/batch", content=plus(1), headers=LINES)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "too_many_batches"
    wait_until(lambda: busy(stats(small_server)) == 0)


def test_a_client_that_sends_nothing_is_told_so_in_the_last_line(small_server: Server) -> None:
    with open_batch(small_server) as connection:
        connection.sendall(chunk(plus(1)))
        received = receive_until(connection, b'"timeout"')
    end = json.loads(received[received.index(b'{"end"') :].split(b"\n")[0])
    assert (end["end"], end["items"], end["error"]["code"]) == (False, 1, "timeout")


def test_a_client_that_waits_for_continue_gets_it_first(small_server: Server) -> None:
    with open_batch(small_server, b"expect: 100-continue") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(chunk(plus(1)) + b"0\r\n\r\n")
        received = receive_until(connection, b'"end"')
    assert b'{"end":true,"items":1}' in received


def test_a_client_that_reads_nothing_is_dropped(small_server: Server) -> None:
    body = triplet("def f(x):\n    return 'x' * 500_000") * 20
    deadline = time.monotonic() + 60
    with open_batch(small_server) as connection:
        while time.monotonic() < deadline:
            try:
                connection.sendall(chunk(body))
            except ConnectionError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("the server still takes lines")
        wait_until(lambda: busy(stats(small_server)) == 0)
    assert psutil.Process(small_server.process.pid).memory_info().rss < 500 << 20
