"""Benchmarks from the hub, which a small server plays here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.trainer.evaluation.support import CRUXEVAL, HUMANEVAL, LCB, write
from trainer.evaluation.benchmarks import BENCHMARKS

pytest.importorskip("huggingface_hub", reason="needs the extra trainer")
pytestmark = pytest.mark.timeout(180)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Says what a data set holds, and gives its files; of others it knows nothing."""

    sets: dict[str, dict[str, bytes]]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/api").removeprefix("/datasets/")
        what, _, rest = path.partition(COMMIT)
        name, _, route = what.rstrip("/").rpartition("/")
        if route == "main":
            name, _, route = name.rpartition("/")
        files = self.sets.get(name)
        if files is None:
            self._answer(None)
        elif route == "revision":
            held = [{"rfilename": file} for file in files]
            self._answer(json.dumps({"id": name, "sha": COMMIT, "siblings": held}).encode())
        elif route == "tree":
            tree = [
                {"type": "file", "path": file, "size": len(content), "oid": COMMIT}
                for file, content in files.items()
            ]
            self._answer(json.dumps(tree).encode())
        else:
            self._answer(files.get(rest.removeprefix("/")))

    do_HEAD = do_GET

    def _answer(self, content: bytes | None) -> None:
        self.send_response(200 if content is not None else 404)
        body = content or b""
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sets")
    parts = [write(folder / f"lcb{n}.jsonl", [row]).read_bytes() for n, row in enumerate(LCB)]
    Hub.sets = {
        "cruxeval-org/cruxeval": {
            "test.jsonl": write(folder / "cruxeval.jsonl", CRUXEVAL).read_bytes(),
            "README.md": b"never asked for",
        },
        "openai/openai_humaneval": {
            "openai_humaneval/test-00000-of-00001.parquet": parquet(folder / "humaneval.parquet")
        },
        "livecodebench/code_generation_lite": {
            "test.jsonl": parts[0], "test2.jsonl": parts[1], "test6.jsonl": b"of a later release",
        },
        "math-ai/aime25": {"train.jsonl": b"{}"},
    }  # fmt: skip
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def parquet(path: Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(HUMANEVAL), path)
    return path.read_bytes()


def evaluate(
    folder: Path, endpoint: str, benchmarks: str, *, offline: bool = False
) -> subprocess.CompletedProcess[str]:
    texts = [
        {"benchmark": "cruxeval_o", "id": "sample_0", "texts": ["<answer>'ba'</answer>"]},
        {"benchmark": "humaneval", "id": "HumanEval/0", "texts": ["    return a + b"]},
        {"benchmark": "lcb", "id": "2", "texts": ["def double(self, x): pass"]},
    ]
    chosen = [one for one in texts if str(one["benchmark"]) in benchmarks]
    hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder.parent / "cache")}
    given = write(folder / "texts.jsonl", chosen)
    return subprocess.run(
        [
            *(sys.executable, "-m", "trainer", "evaluate", "--benchmarks", benchmarks),
            *("--data", "hub", "--generations", str(given), "--out", str(folder / "run")),
            *("--workers", "1", "--memory-mib", "256"),
        ],
        env=os.environ | hub | {"HF_HUB_OFFLINE": str(int(offline))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_files_come_from_the_hub_and_later_from_its_cache(tmp_path: Path, hub: str) -> None:
    names = "cruxeval_o,humaneval,lcb"
    for folder, offline in (("first", False), ("offline", True)):
        done = evaluate(tmp_path / folder, hub, names, offline=offline)
        assert done.returncode == 0, done.stderr
        report = json.loads((tmp_path / folder / "run" / "report.json").read_text())
        found = report["models"]["model"]["benchmarks"]
        assert {name: one["pass"]["1"]["value"] for name, one in found.items()} == {
            "cruxeval_o": 1.0, "humaneval": 1.0, "lcb": 0.0,
        }  # fmt: skip
        assert len(report["settings"]["data"]["lcb"]) == 2


@pytest.mark.parametrize(
    ("benchmark", "problem"),
    [
        ("amc23", "AMC 2023 is not on the hub as it is read here"),
        ("math500", "HuggingFaceH4/MATH-500 cannot be read from the hub: "),
        ("aime25", "math-ai/aime25 has no file test.jsonl any more"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    tmp_path: Path, hub: str, benchmark: str, problem: str
) -> None:
    done = evaluate(tmp_path / "folder", hub, benchmark)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_release_5_of_livecodebench_is_what_is_read() -> None:
    _, *patterns = BENCHMARKS["lcb"].hub
    files = ["test.jsonl", *(f"test{number}.jsonl" for number in range(2, 8))]
    assert [file for file in files if any(fnmatch(file, one) for one in patterns)] == files[:5]
