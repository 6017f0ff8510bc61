"""The whole command on problems of our own."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from executor.cli.app import main as execute
from tests.support.libraries import require_set
from tests.trainer.evaluation.support import HUMANEVAL, data, write
from trainer.cli.app import main

pytest.importorskip("matplotlib", reason="needs the extra trainer")

QUICK = ["--workers", "2", "--memory-mib", "256"]


def evaluate(folder: Path, *options: str, benchmarks: str = "humaneval") -> int:
    return main(
        ["evaluate", *options, "--benchmarks", benchmarks, "--data", str(data(folder / "data")),
         "--out", str(folder / "run"), *QUICK]
    )  # fmt: skip


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    return found


def texts(folder: Path) -> Path:
    """The first problem right, the second wrong, the third cheats, the fourth says nothing."""
    answers = ["    return a + b", "    return 0", "    import os; os._exit(0)", ""]
    rows = [
        {"benchmark": "humaneval", "id": row["task_id"], "texts": [answer, "no"]}
        for row, answer in zip(HUMANEVAL, answers, strict=True)
    ]
    more: list[dict[str, Any]] = [
        {"benchmark": "cruxeval_o", "id": "sample_0", "texts": ["```output\n'ba'\n```"]},
        {"benchmark": "cruxeval_i", "id": "sample_1", "texts": ["<answer>[8, 9]</answer>"]},
        {"benchmark": "lcb", "id": "1",
         "texts": [{"text": "```python\nprint(sum(map(int, input().split())))\n```"}]},
        {"benchmark": "lcb", "id": "2", "texts": [
            {"text": "```python\nclass Solution:\n    def double(self, x):\n        return x\n",
             "cut": True, "tokens": 9}]},
    ]  # fmt: skip
    return write(folder / "texts.jsonl", [*rows, *more])


def test_given_texts_are_judged(tmp_path: Path) -> None:
    given = str(texts(tmp_path))
    names = "humaneval,cruxeval_o,cruxeval_i,lcb"
    assert evaluate(tmp_path, "--generations", given, benchmarks=names) == 0
    found = report(tmp_path)["models"]["model"]["benchmarks"]
    assert found["humaneval"]["pass"]["1"]["value"] == pytest.approx(1 / 8)
    assert found["humaneval"]["pass"]["2"]["value"] == pytest.approx(1 / 4)
    assert found["humaneval"]["no_answer"] == 5 / 8
    assert found["humaneval"]["signals"] == {"early_exit": 1}
    assert found["cruxeval_o"]["pass"]["1"]["value"] == 1
    assert found["cruxeval_i"]["pass"]["1"]["value"] == 1
    assert found["lcb"]["cut"] == 1 / 2
    assert found["lcb"]["by"]["difficulty"]["easy"]["value"] == 1
    assert found["lcb"]["by"]["month"]["2024-09"]["value"] == 0
    assert all(verdict["key"] for verdict in report(tmp_path)["verdicts"]["model"][:3])
    page = (tmp_path / "run" / "report.html").read_text()
    assert "add_1" in page
    assert "def double(self, x)" in page
    assert "| HumanEval | 4 of 164 | 12.5 [0.0, " in (tmp_path / "run" / "report.md").read_text()


@pytest.mark.timeout(600)  # the library set may have to be built
def test_mathematics_is_judged_by_meaning(tmp_path: Path) -> None:
    write(tmp_path / "data" / "aime24.jsonl", [
        {"id": number, "problem": "Add.", "answer": "033"} for number in range(3)
    ])  # fmt: skip
    answers = [r"so \boxed{33.0}", "<answer>$x = 34$</answer>", "I do not know"]
    given = write(tmp_path / "texts.jsonl", [
        {"benchmark": "aime24", "id": str(number), "texts": [text]}
        for number, text in enumerate(answers)
    ])  # fmt: skip
    require_set("math")
    assert evaluate(tmp_path, "--generations", str(given), benchmarks="aime24") == 0
    found = report(tmp_path)["models"]["model"]["benchmarks"]["aime24"]
    assert found["statuses"] == {"ok": 1, "mismatch": 1, "no_answer": 1}


def test_verdicts_are_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "humaneval,cruxeval_o,cruxeval_i,lcb"
    assert evaluate(tmp_path, "--generations", str(texts(tmp_path)), benchmarks=names) == 0
    capsys.readouterr()
    kept = tmp_path / "run" / "model" / "replay.jsonl.gz"
    assert replayed(kept) == 0
    captured = capsys.readouterr()
    assert captured.err == "executor: 7 the same, 0 different, 0 not compared\n"
    rows = [json.loads(line) for line in captured.out.splitlines()]
    known = {line["key"] for line in report(tmp_path)["verdicts"]["model"] if line.get("key")}
    assert {row["key"] for row in rows} == known
    assert not any(row["elsewhere"] for row in rows)
    lines = gzip.decompress(kept.read_bytes()).splitlines()
    line = next(one for one in map(json.loads, lines) if one["task"]["id"] == "lcb/1")
    line |= {"scores": [0.0], "limits": {**line["limits"], "cpu_s": 1}}
    forged = write(tmp_path / "forged.jsonl", [line])
    assert replayed(forged) == 4
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["id"], row["same"], row["elsewhere"]) == ("lcb/1", False, ["conditions"])
    assert (row["expected"], row["outputs"]) == (["0.0"], ["1.0"])
    forged.write_text('{"task": {}}\n')
    assert replayed(forged) == 2
    assert f"{forged}, line 1 is no judgement" in capsys.readouterr().err


def replayed(path: Path) -> int:
    return execute(["replay", str(path), "--workers", "2"])


def test_a_texts_markup_stays_text(tmp_path: Path) -> None:
    row = {"benchmark": "humaneval", "id": "HumanEval/0", "texts": ["<script>alert(1)</script>"]}
    assert evaluate(tmp_path, "--generations", str(write(tmp_path / "x.jsonl", [row]))) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<script>alert" not in page
    assert page.count("<script>") == 1


def test_two_models_are_compared(tmp_path: Path) -> None:
    right = [
        {"benchmark": "humaneval", "id": row["task_id"], "texts": [row["canonical_solution"]]}
        for row in HUMANEVAL
    ]
    better = str(write(tmp_path / "right.jsonl", right))
    assert evaluate(
        tmp_path, "new", "--generations", better, "--base", "old", "--base-generations",
        str(texts(tmp_path)),
    ) == 0  # fmt: skip
    assert report(tmp_path)["difference"]["humaneval"]["value"] == pytest.approx(7 / 8)


@pytest.mark.parametrize(
    ("options", "benchmarks", "problem"),
    [
        ([], "nonsense", "there is no benchmark 'nonsense'; there are humaneval,"),
        ([], "mbpp_plus", "MBPP+ needs a file MbppPlus.jsonl"),
        (["--generations", "/nowhere"], "humaneval", "there is no file /nowhere"),
        (["m", "--prompt", "training"], "humaneval", "has no prompt_template.txt"),
        (["/nowhere", "--engine", "transformers"], "humaneval", "/nowhere cannot be loaded"),
        (["--since", "2030-01-01"], "lcb", "no problem is left"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    options: list[str],
    benchmarks: str,
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate(tmp_path, *options, benchmarks=benchmarks) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "error" in one]
    assert problem in line


class Server(BaseHTTPRequestHandler):
    """Answers so many requests, and then none."""

    left = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Server.left -= 1
        if Server.left < 0:
            self.send_error(400, "gone")
            return
        prompt = body["messages"][0]["content"]
        number = prompt.partition("def add_")[2][0]
        answer = f"```python\ndef add_{number}(a, b):\n    return a + b + {number}\n```"
        choice = {"message": {"content": answer}, "finish_reason": "stop"}
        data = json.dumps({"choices": [choice], "usage": {"completion_tokens": 7}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/v1"
        serving.shutdown()
        thread.join()


def test_an_endpoint_that_dies_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server() as url:
        Server.left = 2
        assert evaluate(tmp_path, "m", "--endpoint", url, "--at-once", "1") == 2
        assert "the same command goes on" in capsys.readouterr().err
        kept = (tmp_path / "run" / "model" / "generations.jsonl").read_bytes()
        assert kept.count(b"\n") == 2
        Server.left = 4
        assert evaluate(tmp_path, "m", "--endpoint", url, "--at-once", "1") == 0
    after = (tmp_path / "run" / "model" / "generations.jsonl").read_bytes()
    assert after.startswith(kept)
    assert report(tmp_path)["models"]["model"]["benchmarks"]["humaneval"]["pass"]["1"]["value"] == 1
