"""The program as people start it, with the real sandbox."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import ENDLESS, PATIENT_FLAGS

PYTHON = [sys.executable, "-m", "executor"]

Command = list[str | Path]


def executor(
    *arguments: str | Path, stdin: bytes = b"", timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    command = [*PYTHON, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)


def told(stderr: bytes) -> bytes:
    """What a command says, but for warnings of what this machine lacks."""
    lines = stderr.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"executor: warning: "))


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def jsonl(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def triplet(body: str, given: str = "2", **fields: Any) -> dict[str, Any]:
    return {"program": f"def f(x):\n    return {body}", "input": given, **fields}


def wait_for_lines(path: Path, count: int, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, "the rows were not written"
        time.sleep(0.02)


def test_verify_gives_verdicts_in_row_order(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.jsonl", tmp_path / "verdicts.jsonl"
    file.write_bytes(
        jsonl(
            triplet("x + 1", output="3", id="right"),
            triplet("x + 1", output="4", id="wrong"),
            triplet("x / 0", id="raises", source="mine"),
            {"program": "def f(x): return x"},
            triplet("object()", id="no value"),
            {
                "snippet": "def f(x):\n    return x * 2",
                "inputs": ["1", "'a'"],
                "outputs": ["2", None],
            },
        )
    )
    done = executor("verify", file, "--out", out)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    verdicts = rows_of(out.read_bytes())
    assert [row["index"] for row in verdicts] == [0, 1, 2, 3, 4, 5]
    statuses = [row["status"] for row in verdicts]
    assert statuses == ["ok", "mismatch", "error", "malformed", "unserializable", "ok"]
    assert [row["matches"] for row in verdicts] == [True, False, None, None, None, True]
    assert verdicts[2]["source"] == "mine"
    assert verdicts[5]["outputs"] == ["2", "'aa'"]
    assert len(verdicts[0]["key"]) == 64
    assert b"6 rows in" in done.stderr


def test_error_task_names_the_exception() -> None:
    done = executor(
        "verify", "-", "--error-task", "-q", stdin=jsonl(triplet("x / 0"), triplet("x"))
    )
    assert [row["outputs"] for row in rows_of(done.stdout)] == [["ZeroDivisionError"], ["NoError"]]


def test_judge_scores_every_task_type() -> None:
    program = "def f(x):\n    return x * x"
    task = {"program": program, "input": "3", "output": "9"}
    done = executor(
        "judge",
        "-",
        stdin=jsonl(
            {**task, "task": "deduction", "answers": ["9", "3*3", "8", "1 +"]},
            {**task, "task": "abduction", "answers": ["3", "-3", "4", "0) or (3"]},
            {
                "task": "induction",
                "inputs": ["1", "3"],
                "outputs": ["1", "9"],
                "answers": [program, "def f(x):\n    return x"],
                "scoring": "fraction",
            },
            {
                "task": "error",
                "program": "def f(x):\n    return x / 0",
                "input": "1",
                "output": "ZeroDivisionError",
                "answers": ["ZeroDivisionError", "NoError"],
            },
        ),
    )
    assert done.returncode == 0, done.stderr
    scores = [row["scores"] for row in rows_of(done.stdout)]
    assert scores == [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 0.5], [1.0, 0.0]]
    assert b"abduction" in done.stderr
    signals = [row.get("signals") for row in rows_of(done.stdout)]
    assert signals == [None, {"injection": 1}, None, None]
    assert b"signs of cheating: injection 1" in done.stderr


def test_process_backend_says_in_every_line_that_it_is_unsafe() -> None:
    done = executor("verify", "-", "--backend", "process", stdin=jsonl(triplet("x"), triplet("x")))
    assert done.returncode == 0, done.stderr
    assert [row["backend"] for row in rows_of(done.stdout)] == ["process (no isolation)"] * 2
    assert b"NO ISOLATION" in done.stderr


def test_unknown_backend_lists_the_known_ones() -> None:
    done = executor("verify", "-", "--backend", "nonesuch")
    assert done.returncode == 2
    assert done.stderr.startswith(b"executor: error: ")
    assert done.stderr.count(b"\n") == 1
    assert b"nsjail" in done.stderr
    assert b"process" in done.stderr


def test_run_passes_through_what_the_script_reads_writes_and_exits_with(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "sys.stdout.buffer.write(b'\\xff' + sys.stdin.read().upper().encode())\n"
        "print(sys.argv[1:], file=sys.stderr)\n"
        "sys.exit(5)\n"
    )
    done = executor("run", "--stdin", "-", script, "-x", "y", stdin="größe\n".encode())
    assert (done.returncode, done.stdout) == (5, b"\xff" + "GRÖSSE\n".encode()), done.stderr
    assert told(done.stderr) == b"['-x', 'y']\n"


def test_run_reports_the_limit_that_ended_the_script(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("print('started', flush=True)\nwhile True: pass\n")
    done = executor("run", "--wall-s", "1", tmp_path / "s.py")
    assert (done.returncode, done.stdout) == (1, b"started\n")
    assert told(done.stderr).startswith(b"executor: wall_limit: ")
    assert told(done.stderr).count(b"\n") == 1


def test_first_result_comes_before_the_second_row_is_sent() -> None:
    command = [*PYTHON, "verify", "-", "-q"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for index in range(3):
            process.stdin.write(jsonl(triplet(f"x + {index}")))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["outputs"] == [str(2 + index)]
        process.stdin.close()
    assert process.returncode == 0


def test_slow_first_row_holds_up_no_more_than_the_order_of_the_file() -> None:
    quick = [triplet(f"x + {number % 50}") for number in range(9000)]
    rows = jsonl({"program": ENDLESS, "input": "1"}, *quick)
    done = executor("verify", "-", "-q", "--cpu-s", "1", stdin=rows)
    assert (done.returncode, done.stderr) == (0, b"")
    verdicts = rows_of(done.stdout)
    assert [row["index"] for row in verdicts] == list(range(9001))
    assert verdicts[0]["status"] == "cpu_limit"
    assert all(row["valid"] for row in verdicts[1:])


def test_reader_that_leaves_ends_the_program_quietly() -> None:
    rows = jsonl(*[triplet(f"x + {number}") for number in range(500)])
    command = [*PYTHON, "verify", "-"]
    pipe = subprocess.PIPE
    environment = os.environ | {"COLUMNS": "1000"}  # a warning is one line
    with subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(rows)
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        assert told(process.stderr.read()) == b""
    assert process.returncode == 141


@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_keeps_the_finished_rows(tmp_path: Path, signum: int, exit_code: int) -> None:
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    stuck = {"program": ENDLESS, "input": "1"}
    file.write_bytes(jsonl(*[triplet(f"x + {n}") for n in range(20)], *[stuck] * 200))
    command: Command = [*PYTHON, "verify", file, "--out", out, "--workers", "2"]
    # A session of its own: like Ctrl-C in a terminal, the signal goes to the whole group.
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            wait_for_lines(out, 20)  # some may wait for a guest until a loop meets its limit
            started = time.monotonic()
            os.killpg(process.pid, signum)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == exit_code, error
    assert time.monotonic() - started < 20
    rows = rows_of(out.read_bytes())
    assert [row["index"] for row in rows[:20]] == list(range(20))
    assert all(row["status"] == "ok" for row in rows[:20])
    assert not any(row["status"] in {"infra", "crashed"} for row in rows)
    assert b"interrupted" in error
    assert b"Traceback" not in error


def test_second_ctrl_c_quits_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    (tmp_path / "rows.jsonl").write_bytes(jsonl(triplet("x"), {"program": ENDLESS, "input": "1"}))
    rows = tmp_path / "rows.jsonl"
    command: Command = [*PYTHON, "verify", rows, "--out", out, *PATIENT_FLAGS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        wait_for_lines(out, 1)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


def test_progress_bar_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl(*[triplet(f"x + {n}") for n in range(50)]))
    leader, follower = pty.openpty()
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    command: Command = [*PYTHON, "verify", rows, "--out", out]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stderr=follower, env=environment) as process:
        os.close(follower)
        shown = b""
        while chunk := _read_terminal(leader):
            shown += chunk
    os.close(leader)
    assert process.returncode == 0
    assert b"rows/s" in shown
    assert b"100 %" in shown
    assert b"\x1b[?25h" in shown


def _read_terminal(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:  # how Linux says that the other side is closed
        return b""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = jsonl({"id": "x" * 1000})
    file.write_bytes(row * 100_000)
    script = (
        "import pathlib, re\n"
        "from executor.cli.app import main\n"
        f"code = main(['verify', {str(file)!r}, '--out', '/dev/null', '-q'])\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(code, int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    code, peak_mib = map(int, done.stdout.split())
    assert code == 0
    assert peak_mib < 90
