"""The unmodified scorer of veRL against our server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.server import Server
from tests.support.verl_scorer import scorer

DOUBLE = "```python\nprint(2 * int(input()))\n```"


@pytest.fixture(scope="module")
def verl() -> Iterator[ModuleType]:
    with scorer() as module:
        yield module


def score(
    verl: ModuleType, server: Server, completion: str, tests: dict[str, Any], **options: Any
) -> tuple[float, list[dict[str, Any]]]:
    given = {"memory_limit_mb": 1024, "timeout": 5, **options}
    result: tuple[float, list[dict[str, Any]]] = verl.compute_score(
        f"{server.url}/run_code", threading.Semaphore(16), completion=completion,
        test_cases=tests, **given,
    )  # fmt: skip
    return result


def code(source: str) -> str:
    return f"```python\n{source}\n```"


def test_right_answers_score_one(verl: ModuleType, server: Server) -> None:
    tests = {"inputs": ["1\n", "20\n"], "outputs": ["2\n", "40"]}
    points, cases = score(verl, server, DOUBLE, tests)
    assert points == 1.0
    assert [case["status"] for case in cases] == ["success", "success"]
    assert [case["exit_code"] for case in cases] == [0, 0]


def test_a_share_of_right_answers_scores_that_share(verl: ModuleType, server: Server) -> None:
    tests = {"inputs": ["1", "2", "3", "4"], "outputs": ["2", "4", "7", "8"]}
    points, cases = score(verl, server, DOUBLE, tests, continuous=True)
    assert points == 0.75
    assert [case["status"] for case in cases].count("wrong_answer") == 1


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("1/0", "runtime_error"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "runtime_error"),
        ("x = bytearray(4 << 30)", "runtime_error"),
        ("while True: print('x' * 100_000)", "runtime_error"),
        ("def f(:", "runtime_error"),
        ("import time; time.sleep(60)", "timeout"),
        ("print('2', flush=True)\nwhile True: pass", "timeout"),
    ],
)
def test_failures_are_what_they_are_and_score_nothing(
    verl: ModuleType, server: Server, source: str, status: str
) -> None:
    tests = {"inputs": ["1"], "outputs": ["2"]}
    points, cases = score(verl, server, code(source), tests, timeout=2)
    assert points == 0.0
    assert [case["status"] for case in cases] == [status]


def test_large_output_is_compared_whole(verl: ModuleType, server: Server) -> None:
    tests = {"inputs": [""], "outputs": ["x" * 2_000_000 + "y"]}
    assert score(verl, server, code("print('x' * 2_000_000 + 'y')"), tests)[0] == 1.0
    assert score(verl, server, code("print('x' * 2_000_000 + 'z')"), tests)[0] == 0.0


def test_functions_are_called_with_json_arguments(verl: ModuleType, server: Server) -> None:
    source = "class Solution:\n    def join(self, a, b):\n        return [a + b]"
    tests = {"fn_name": "join", "inputs": ["1\n2", "3\n4"], "outputs": ["[3]", "[7]"]}
    assert score(verl, server, code(source), tests)[0] == 1.0


def test_assertions_decide(verl: ModuleType, server: Server) -> None:
    cases = ["assert f(1) == 2", "assert f(1) == 3"]
    assert score(verl, server, code("def f(n): return n + 1"), {"assert_case": cases})[0] == 0.5


def test_many_cases_at_a_time_lose_no_output(verl: ModuleType, server: Server) -> None:
    count = 300
    tests = {
        "inputs": [str(n) for n in range(count)],
        "outputs": [str(2 * n) for n in range(count)],
    }
    points, cases = score(verl, server, DOUBLE, tests, timeout=10)
    assert [case["status"] for case in cases] == ["success"] * count
    assert points == 1.0
