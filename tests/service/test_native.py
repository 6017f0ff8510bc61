"""The native routes for one item, on the real server."""

from __future__ import annotations

import base64

import httpx


def test_a_sound_triplet_is_valid(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/validate", json={"program": "def f(x):\n    return x + 1", "inputs": ["1"], "id": "a"}
    )
    assert answer.status_code == 200
    verdict = answer.json()
    assert (verdict["status"], verdict["valid"], verdict["outputs"]) == ("ok", True, ["2"])
    assert verdict["id"] == "a"
    assert verdict["backend"] == "nsjail"


def test_answers_are_judged(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/judge",
        json={
            "task": "deduction",
            "program": "def f(x):\n    return x",
            "inputs": ["1"],
            "answers": ["1", "2"],
        },
    )
    assert answer.json()["scores"] == [1.0, 0.0]


def test_programs_are_judged_by_tests(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/judge",
        json={
            "task": "stdio",
            "stdin": ["1", "2"],
            "stdout": ["1", "2"],
            "files": {"f": base64.b64encode(b"\xfb\xff\xfe").decode()},
            "cases": True,
            "answers": ["print(input())", "print(1)", "print(len(open('f', 'rb').read()) // 3)"],
        },
    )
    judgement = answer.json()
    assert judgement["scores"] == [1.0, 0.0, 0.0], judgement
    assert judgement["counts"] == [[2, 2], [1, 2], [1, 2]]
    assert [case["status"] for case in judgement["cases"][1]] == ["ok", "mismatch"]


def test_bytes_of_scripts_are_standard_base64(client: httpx.Client) -> None:
    content = bytes(range(256))
    answer = client.post(
        "/v1/run",
        json={
            "source": "import sys; data = open('in', 'rb').read(); open('out', 'wb').write(data);"
            "sys.stdout.buffer.write(data)",
            "files": {"in": base64.b64encode(content).decode()},
            "collect": ["out"],
        },
    )
    result = answer.json()
    assert result["status"] == "ok", result
    assert base64.b64decode(result["stdout"], validate=True) == content
    assert base64.b64decode(result["files"]["out"], validate=True) == content
