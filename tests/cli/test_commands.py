"""Exit codes, messages and formats of the commands, with a stand-in for the executor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from executor.cli import batch, make_executor
from executor.cli.app import main
from executor.cli.io.reorder import Reorder
from executor.errors import BackendUnavailable, ExecutorClosed, UnknownBackend
from executor.models import ScriptResult, Status

type Install = Callable[..., list[Any]]


def write_rows(path: Path, *rows: Any) -> str:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(texts) + "\n")
    return str(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def row(program: str = "p", **fields: Any) -> dict[str, Any]:
    return {"program": program, "input": "1", **fields}


@contextlib.contextmanager
def once(condition: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Do something, in a thread of its own, as soon as a condition holds."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            if condition():
                act()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def only_error(capfd: pytest.CaptureFixture[str]) -> str:
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("executor: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_verify_writes_one_line_per_row_in_row_order(
    fake_executor: Install, tmp_path: Path, out: Path
) -> None:
    fake_executor()
    rows = [row("slow:0.05", id="first"), row(id=2, note="n"), "", "{", row("mismatch")]
    file = write_rows(tmp_path / "in", *rows)
    assert main(["verify", file, "--out", str(out)]) == 0
    lines = read_rows(out)
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert [line["status"] for line in lines] == ["ok", "ok", "malformed", "mismatch"]
    assert lines[0]["id"] == "first"
    assert list(lines[1]) == [
        *("index", "id", "status", "valid", "outputs", "matches", "detail", "usage", "key"),
        *("backend", "interpreter", "note"),
    ]
    assert lines[2] == {
        "index": 2,
        "status": "malformed",
        "valid": False,
        "outputs": [],
        "matches": None,
        "detail": lines[2]["detail"],
        "usage": {"wall_ms": 0.0, "cpu_ms": 0.0, "peak_memory_kib": 0},
        "key": "",
    }
    assert lines[2]["detail"].startswith("line 4: not JSON")


def test_results_go_to_stdout_and_the_summary_to_stderr(
    fake_executor: Install, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_executor()
    assert main(["verify", write_rows(tmp_path / "in", row(), row("error"))]) == 0
    captured = capfd.readouterr()
    assert [json.loads(line)["status"] for line in captured.out.splitlines()] == ["ok", "error"]
    assert "2 rows in" in captured.err
    assert "valid 50.0 %" in captured.err
    assert "\x1b" not in captured.err


def test_quiet_prints_nothing_but_results(
    fake_executor: Install, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_executor(isolated=False, warnings=("no isolation",))
    assert main(["verify", write_rows(tmp_path / "in", row()), "--quiet"]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1


def test_missing_isolation_is_said_loudly(
    fake_executor: Install, tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_executor(
        backend="process (no isolation)", isolated=False, warnings=("[b]programs run as you",)
    )
    assert main(["verify", write_rows(tmp_path / "in", row()), "--out", str(out)]) == 0
    error = capfd.readouterr().err
    assert "executor: warning: [b]programs run as you" in error
    assert "NO ISOLATION" in error
    assert read_rows(out)[0]["backend"] == "process (no isolation)"


def test_surrogates_and_other_scripts_survive_as_ascii(
    fake_executor: Install, tmp_path: Path, out: Path
) -> None:
    fake_executor()
    file = write_rows(tmp_path / "in", {"program": "p", "input": "'\ud800é'", "n": "\udfff漢"})
    assert main(["verify", file, "--out", str(out)]) == 0
    assert out.read_bytes().isascii()
    assert read_rows(out)[0]["outputs"] == ["'\ud800é'"]
    assert read_rows(out)[0]["n"] == "\udfff漢"


def test_empty_file_gives_an_empty_result(
    fake_executor: Install, tmp_path: Path, out: Path
) -> None:
    fake_executor()
    (tmp_path / "in").touch()
    assert main(["verify", str(tmp_path / "in"), "--out", str(out)]) == 0
    assert out.read_bytes() == b""


def test_file_of_nothing_but_malformed_rows_is_no_failure(
    fake_executor: Install, tmp_path: Path, out: Path
) -> None:
    fake_executor()
    file = write_rows(tmp_path / "in", *["nonsense"] * 10_000)
    assert main(["verify", file, "--out", str(out)]) == 0
    assert [line["index"] for line in read_rows(out)] == list(range(10_000))


def test_slow_row_bounds_how_far_the_others_run_ahead(
    fake_executor: Install, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "Reorder", partial(Reorder, max_rows_ahead=50))
    made = fake_executor()
    file = write_rows(tmp_path / "in", row("held"), *[row()] * 500)
    seen: list[int] = []

    def release() -> None:
        time.sleep(0.1)
        seen.append(made[0].started)
        made[0].released.set()

    with once(lambda: bool(made) and made[0].started >= 50, release):
        assert main(["verify", file, "--out", str(out)]) == 0
    assert seen == [50]
    assert len(read_rows(out)) == 501


def test_infra_row_makes_the_exit_code_3(fake_executor: Install, tmp_path: Path, out: Path) -> None:
    fake_executor()
    assert main(["verify", write_rows(tmp_path / "in", row("infra")), "--out", str(out)]) == 3
    answers = write_rows(
        tmp_path / "answers",
        {"task": "deduction", "output": "1", "answers": ["1"], "code": "infra"},
    )
    assert main(["judge", answers, "--out", str(out)]) == 3
    assert read_rows(out)[0]["scores"] == [None]


def test_judge_writes_scores_and_malformed_rows(
    fake_executor: Install, tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_executor()
    good = {"task": "deduction", "output": "1", "answers": ["1", "2"], "id": "a", "note": 0}
    file = write_rows(tmp_path / "in", good, {"task": "x", "id": "b"})
    assert main(["judge", file, "--out", str(out), "--scoring", "any", "--strict"]) == 0
    first, second = read_rows(out)
    assert list(first)[:6] == ["index", "id", "task", "scores", "statuses", "details"]
    assert (first["scores"], first["details"]) == ([0.5, 0.5], ["any True"] * 2)
    assert first["note"] == 0
    assert (second["index"], second["id"], second["status"]) == (1, "b", "malformed")
    assert (second["scores"], second["statuses"]) == ([], [])
    assert second["details"][0].startswith("line 2: 'task' must be one of")
    assert "mean score 0.500" in capfd.readouterr().err


def test_options_reach_the_executor(fake_executor: Install, tmp_path: Path, out: Path) -> None:
    made = fake_executor()
    options = ["--backend", "process", "--workers", "3", "--runs", "4", "--wall-s", "1.5"]
    options += ["--cpu-s", "2", "--memory-mib", "64", "--output-kib", "8", "--no-default-bans"]
    options += ["--min-parameters", "0"]
    options += ["--ban-module", "os.path", "--ban-module", "re", "--ban-keyword", "try"]
    assert main(["verify", write_rows(tmp_path / "in"), "--out", str(out), *options]) == 0
    used = made[0].options
    assert (used.backend, used.workers, used.runs) == ("process", 3, 4)
    assert (used.limits.wall_s, used.limits.cpu_s) == (1.5, 2)
    assert (used.limits.memory_mib, used.limits.output_kib) == (64, 8)
    assert used.rules.banned_modules == ("os.path", "re")
    assert used.rules.banned_keywords == ("try",)
    assert used.rules.min_parameters == 0


def test_default_bans_stay_unless_dropped(
    fake_executor: Install, tmp_path: Path, out: Path
) -> None:
    made = fake_executor()
    file = write_rows(tmp_path / "in", row())
    assert main(["verify", file, "--out", str(out), "--ban-module", "re"]) == 0
    banned = made[0].options.rules.banned_modules
    assert "random" in banned
    assert banned[-1] == "re"


def test_judging_bans_nothing_unless_asked_to(
    fake_executor: Install, tmp_path: Path, out: Path
) -> None:
    made = fake_executor()
    file = write_rows(tmp_path / "in", row())
    assert main(["judge", file, "--out", str(out), "--ban-module", "re"]) == 0
    assert made[0].options.judge_rules.banned_modules == ("re",)
    assert made[0].options.judge_rules.min_parameters == 0


def test_error_task_option_reaches_every_row(
    fake_executor: Install, tmp_path: Path, out: Path
) -> None:
    fake_executor()
    file = write_rows(tmp_path / "in", row())
    assert main(["verify", file, "--out", str(out), "--error-task"]) == 0
    assert read_rows(out)[0]["detail"] == "error: ok"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["frobnicate"], "No such command"),
        (["verify"], "Missing argument 'FILE'"),
        (["verify", "IN", "--bogus"], "No such option: --bogus"),
        (["verify", "IN", "--workers", "0"], "--workers"),
        (["verify", "IN", "--workers", "many"], "--workers"),
        (["verify", "IN", "--runs", "1"], "--runs"),
        (["verify", "IN", "--wall-s", "-1"], "--wall-s should be greater than 0, not -1"),
        (["verify", "IN", "--wall-s", "nan"], "--wall-s should be"),
        (["verify", "IN", "--memory-mib", "1"], "--memory-mib should be"),
        (["verify", "IN", "--ban-keyword", "if"], "'raise', 'assert', 'try'"),
        (["verify", "IN", "--ban-module", "a b"], "not the name of a module"),
        (["judge", "IN", "--scoring", "x"], "'binary', 'fraction', 'any'"),
        (["verify", "nowhere.jsonl"], "cannot read nowhere.jsonl: No such file or directory"),
        (["verify", "a\0b"], "cannot read"),
        (["verify", "DIR"], "it is a directory"),
        (["verify", "IN", "--out", "DIR"], "it is a directory"),
        (["verify", "IN", "--out", "DIR/none/x"], "there is no folder"),
        (["verify", "IN", "--out", "IN"], "it is the input file"),
        (["verify", "IN", "--out", ""], "not a file name"),
        (["run"], "Missing argument 'SCRIPT'"),
        (["run", "nowhere.py"], "cannot read nowhere.py"),
        (["run", "--stdin", "-", "-"], "cannot both be standard input"),
        (["run", "--stdin", "nowhere.txt", "IN"], "cannot read nowhere.txt"),
        (["run", "BINARY"], "not UTF-8 (byte 1)"),
    ],
)
def test_unusable_arguments_are_one_line_and_exit_code_2(
    fake_executor: Install,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    fake_executor()
    file = write_rows(tmp_path / "rows.jsonl", row())
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    places = {"IN": file, "DIR": str(tmp_path), "BINARY": str(tmp_path / "binary")}
    filled = [
        str(tmp_path) + text[3:] if text.startswith("DIR/") else places.get(text, text)
        for text in arguments
    ]
    assert main(filled) == 2
    assert message in only_error(capfd)
    assert json.loads(Path(file).read_text()) == row()


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (UnknownBackend("no backend 'x'; known are nsjail and process"), 2),
        (BackendUnavailable("nsjail needs\nuser namespaces"), 2),
        (ExecutorClosed("closed"), 3),
    ],
)
def test_executor_that_cannot_start_leaves_the_output_file_alone(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
    exit_code: int,
) -> None:
    def refuse(options: make_executor.ExecutorOptions) -> Any:
        raise error

    monkeypatch.setattr(make_executor, "create_executor", refuse)
    out.write_text("yesterday's results")
    file = write_rows(out.with_name("in"), row())
    assert main(["verify", file, "--out", str(out)]) == exit_code
    assert " ".join(str(error).split()) in only_error(capfd)
    assert out.read_text() == "yesterday's results"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_ends_with_one_line_and_a_closed_executor(
    fake_executor: Install, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = fake_executor()
    file = write_rows(tmp_path / "in", *[row()] * 100)
    assert main(["verify", file, "--out", "/dev/full"]) == 2
    assert "No space left on device" in only_error(capfd)
    assert made[0].closed


@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_keeps_every_finished_row(
    fake_executor: Install,
    out: Path,
    capfd: pytest.CaptureFixture[str],
    signum: signal.Signals,
    exit_code: int,
) -> None:
    made = fake_executor()
    file = write_rows(out.with_name("in"), row(), row("slow:60"), row(), row(), row("slow:60"))
    with once(
        lambda: bool(made) and (made[0].started, made[0].taken) == (5, 3),
        lambda: os.kill(os.getpid(), signum),
    ):
        assert main(["verify", file, "--out", str(out)]) == exit_code
    assert [line["index"] for line in read_rows(out)] == [0, 2, 3]
    assert "interrupted" in capfd.readouterr().err
    assert made[0].closed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_starts_no_further_row(fake_executor: Install, tmp_path: Path, out: Path) -> None:
    made = fake_executor()
    file = write_rows(tmp_path / "in", *[row("slow:60")] * 4, *[row()] * 100)
    with once(
        lambda: bool(made) and made[0].started == 4,
        lambda: os.kill(os.getpid(), signal.SIGINT),
    ):
        assert main(["verify", file, "--out", str(out), "-q"]) == 130
    assert made[0].started == 4
    assert out.read_bytes() == b""


def test_interrupt_while_the_executor_starts_is_obeyed(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Starting:
        async def __aenter__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)

        async def __aexit__(self, *_: object) -> None: ...

    monkeypatch.setattr(make_executor, "create_executor", lambda options: Starting())
    assert main(["verify", write_rows(tmp_path / "in", row()), "--out", str(out)]) == 130
    assert not out.exists()


def test_run_passes_output_and_exit_code_on_unchanged(
    fake_executor: Install, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    result = ScriptResult(
        status=Status.ERROR, exit_code=7, stdout=b"\xff\x00\r\n", stderr=b"oh\xfe", detail="7"
    )
    made = fake_executor(result)
    (tmp_path / "s.py").write_bytes(b"\xef\xbb\xbfprint('x')\r\n")
    (tmp_path / "data").write_text("words")
    script = str(tmp_path / "s.py")
    assert main(["run", "--stdin", str(tmp_path / "data"), script, "-x", "--quiet", "--"]) == 7
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (b"\xff\x00\r\n", b"oh\xfe")
    (sent,) = made[0].scripts
    assert (sent.source, sent.stdin) == ("print('x')\r\n", "words")
    assert sent.argv == ("-x", "--quiet", "--")


@pytest.mark.parametrize(("status", "exit_code"), [(Status.WALL_LIMIT, 1), (Status.INFRA, 3)])
def test_run_says_in_one_line_what_stopped_the_script(
    fake_executor: Install,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    status: Status,
    exit_code: int,
) -> None:
    fake_executor(ScriptResult(status=status, stdout=b"so far", detail="a sentence"))
    (tmp_path / "s.py").touch()
    assert main(["run", str(tmp_path / "s.py")]) == exit_code
    captured = capfd.readouterr()
    assert captured.out == "so far"
    assert captured.err == f"executor: {status}: a sentence\n"


@pytest.mark.parametrize("command", [[], ["verify"], ["judge"], ["run"]])
def test_help_has_an_example(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert "Example: executor" in capfd.readouterr().out


def test_version_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out.startswith("executor ")
