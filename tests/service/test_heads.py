"""Heads of requests are bounded before anyone has shown a token, in size and in time."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.support.server import Server, running

KIB = 1024
BOUND = 64 * KIB
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = (
    b"POST /v1/validate/batch HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer t\r\n"
    b"content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server that wants a token, which none of these clients has."""
    with running("--workers", "2", "--token", "t", "--header-s", "3") as made:
        yield made


def talk(server: Server, data: bytes, *, seconds: float = 20) -> bytes:
    """All that the server answers to some bytes; what cannot be sent is no fault."""
    with socket.create_connection(("127.0.0.1", server.port), seconds) as connection:
        sender = threading.Thread(target=_send, args=(connection, data), daemon=True)
        sender.start()
        answer = b""
        try:
            while part := connection.recv(1 << 16):
                answer += part
        except ConnectionResetError:
            pass
        sender.join(seconds)
        return answer


def _send(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(data)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def headed(size: int) -> bytes:
    """A request whose head has this many bytes, and that ends the connection."""
    start = HEALTH + b"connection: close\r\nx: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize(("size", "expected"), [(100, 200), (8 * KIB, 200), (BOUND, 200),
                                                (BOUND + 1, 431), (BOUND + 20 * KIB, 431),
                                                (1 << 20, 431)])  # fmt: skip
def test_a_head_has_a_bound(guarded: Server, size: int, expected: int) -> None:
    answer = talk(guarded, headed(size))
    assert status(answer) == expected
    if expected == 431:
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert (error["code"], bool(error["request_id"])) == ("head_too_large", True)


LONG = {
    "one value": HEALTH + b"x: " + b"a" * (8 << 20),
    "one name": HEALTH + b"x" * (8 << 20),
    "many headers": HEALTH + b"x: a\r\n" * (1 << 20),
    "the target": b"GET /" + b"a" * (8 << 20),
    "the query": b"GET /?" + b"a" * (8 << 20),
    "lines before a request": b"\r\n" * (4 << 20),
    "a chunk's extension": CHUNKED + b"1;" + b"a" * (8 << 20),
    "a trailer": CHUNKED + b"1\r\n\n\r\n0\r\nx: " + b"a" * (8 << 20),
    "many trailers": CHUNKED + b"0\r\n" + b"x: a\r\n" * (1 << 20),
}


@pytest.mark.parametrize("what", LONG)
def test_whatever_is_no_body_is_cut_off(guarded: Server, what: str) -> None:
    answer = talk(guarded, LONG[what])
    assert status(answer) in (0, 200, 431)  # an answer that was begun cannot be another one
    if what not in ("a chunk's extension", "a trailer", "many trailers"):
        assert status(answer) == 431
    assert httpx.get(f"{guarded.url}/healthz").status_code == 200


def test_an_endless_head_holds_up_nobody(guarded: Server) -> None:
    process = psutil.Process(guarded.process.pid)
    before = process.memory_info().rss
    sender = threading.Thread(target=talk, args=(guarded, HEALTH + b"x: " + b"a" * (40 << 20)))
    sender.start()
    slowest = 0.0
    with httpx.Client(timeout=30) as client:
        while sender.is_alive():
            started = time.monotonic()
            assert client.get(f"{guarded.url}/healthz").status_code == 200
            slowest = max(slowest, time.monotonic() - started)
    assert slowest < 1.0  # joined as it comes in, it took 2.3 s
    assert process.memory_info().rss - before < 16 << 20


def test_bodies_and_requests_after_one_another_are_no_heads(guarded: Server) -> None:
    line = b'{"program": "def f(x): return x", "inputs": ["1"]}' + b" " * 200 + b"\n"
    chunk = f"{len(line):x}".encode() + b"\r\n" + line + b"\r\n"
    count = 500
    ended = chunk * count + b"0\r\nx-sum: 1\r\n\r\n"
    requests = CHUNKED + ended + headed(60 * KIB)
    answer = talk(guarded, requests, seconds=60)
    assert status(answer) == 200
    assert f'{{"end":true,"items":{count}}}'.encode() in answer.replace(b" ", b"")
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_pieces_of_one_byte_are_a_body(guarded: Server) -> None:
    data = CHUNKED + b"1\r\n\n\r\n" * 40_000 + b"0\r\n\r\n"
    answer = talk(guarded, data.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
    assert b'"end"' in answer


SLOW = {
    "nothing": b"",
    "half a head": HEALTH,
    "an empty line": b"\r\n",
}


@pytest.mark.parametrize("what", SLOW)
def test_a_head_that_does_not_come_ends_the_connection(guarded: Server, what: str) -> None:
    started = time.monotonic()
    talk(guarded, SLOW[what], seconds=30)
    assert time.monotonic() - started < 20  # the head has 3 s


def test_an_empty_line_after_a_request_begins_a_head(guarded: Server) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), 30) as connection:
        connection.sendall(HEALTH + b"\r\n")
        answer = b""
        while not answer.endswith(b"}"):  # head and body may come apart
            answer += connection.recv(1 << 16)
        started = time.monotonic()
        connection.sendall(b"\r\n")
        assert connection.recv(1) == b""
        assert time.monotonic() - started < 20  # a silent connection may stay for 75 s


def test_a_head_that_comes_byte_by_byte_ends_the_connection(guarded: Server) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), 0.1) as connection:
        deadline = time.monotonic() + 20
        answer: bytes | None = None
        while answer is None:
            assert time.monotonic() < deadline, "the head has 3 s"
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"X")
            try:
                answer = connection.recv(100)
            except TimeoutError:
                pass
            except ConnectionError:
                answer = b""
