"""The suite itself: what its processes start from, and what goes to which of them."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests import schedule

TESTS = Path(__file__).parent
STATE = """
import os, signal
from tests.start_state import as_from_a_terminal
as_from_a_terminal()
ignored = {n.name for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN}
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
variables = {"EXECUTOR_TOKEN", "EXECUTOR_CACHE", "COLUMNS"} & os.environ.keys()
print(ignored - {"SIGPIPE", "SIGXFSZ"}, blocked, variables, oct(os.umask(0)))
print([os.path.exists(f"/proc/self/fd/{number}") for number in range(3)])
"""


def worst_start() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGUSR1})
    os.umask(0o077)
    os.closerange(0, 1)


def test_however_the_tests_are_started_they_start_from_the_same() -> None:
    variables = {"EXECUTOR_TOKEN": "x", "EXECUTOR_CACHE": "/tmp", "COLUMNS": "7"}
    done = subprocess.run(
        [sys.executable, "-c", STATE], cwd=TESTS.parent, env=os.environ | variables, text=True,
        capture_output=True, preexec_fn=worst_start, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "set() set() {'EXECUTOR_CACHE'} 0o22",
        "[True, True, True]",
    ]


def names_imported(file: Path, module: str) -> set[str]:
    return {
        alias.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    }


def test_every_file_that_trains_is_in_a_lane() -> None:
    trains = {"train", "finish", "started", "command"}
    files = [
        f"tests/{path.relative_to(TESTS)}"
        for path in TESTS.rglob("test_*.py")
        if names_imported(path, "tests.trainer.support.runs") & trains
    ]
    assert len(files) > 3
    assert [file for file in files if not file.startswith(schedule.TRAINING_RUNS)] == []
    for name in schedule.FIRST_LANE:
        assert f"{schedule.TRAINING_RUNS}{name}.py" in files, name


def test_what_is_said_to_take_long_exists() -> None:
    for start in schedule.LONGEST_FIRST:
        assert list(TESTS.parent.glob(f"{start}*")), start


def test_nothing_long_comes_last() -> None:
    ranks = [schedule.rank(f"{start}.py::test_x") for start in schedule.LONGEST_FIRST]
    assert ranks == sorted(ranks)
    assert schedule.rank("tests/grammar/test_encode.py::test_x") > max(ranks)


def test_coverage_is_summed_by_package(tmp_path: Path) -> None:
    def summary(lines: int, reached: int, branches: int, taken: int) -> dict[str, object]:
        counts = ("num_statements", lines), ("covered_lines", reached)
        both = ("num_branches", branches), ("covered_branches", taken)
        return {"summary": {"percent_covered_display": "1", **dict([*counts, *both])}}

    files = {
        "executor/api/local.py": summary(100, 50, 0, 0),
        "executor/api/deeper/more.py": summary(100, 100, 200, 100),
        "trainer/cli.py": summary(10, 10, 0, 0),
    }
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"files": files}))
    script = TESTS.parent / "scripts/coverage_by_package.py"
    done = subprocess.run(
        [sys.executable, script, report], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[2:] == [
        "| `executor/api` | 200 | 75% | 62% |",
        "| `trainer` | 10 | 100% | 100% |",
        "| `all` | 210 | 76% | 63% |",
    ]
