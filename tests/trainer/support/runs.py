"""Whole training runs as child processes, each with a hard time limit."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.trainer.support.forked import process_class

ROOT = Path(__file__).parents[3]

needs_verl = pytest.mark.skipif(
    importlib.util.find_spec("verl") is None, reason="veRL is not installed (extra: trainer)"
)
needs_ray = pytest.mark.skipif(
    shlex.quote(sys.executable) != sys.executable,
    reason=f"Ray cannot start an interpreter with such a path: {sys.executable}",
)
needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"
)

LETTERS = "trainer.game_class=tests.trainer.support.letters:LettersGame"

NOT_COMPARABLE = ("timing_", "perf/", "actor/perf/", "rollout/waiting_s", "executor/")
"""Metrics of time, memory and load: they differ between equal runs."""


def command(run: Path, *overrides: str, preset: str = "cpu_tiny") -> list[str]:
    """A run of the tiny model with a game that a random model can play."""
    return [
        *(sys.executable, "-m", "trainer", f"preset={preset}"),
        f"trainer.default_local_dir={run}",
        *overrides,
    ]


def environment() -> dict[str, str]:
    """Variables of runs: the tests' own modules can be imported, and lines are wide."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}


@contextmanager
def started(
    run: Path, *overrides: str, preset: str = "cpu_tiny"
) -> Iterator[subprocess.Popen[str]]:
    """A run in the background, in a session of its own; nothing of it is left afterwards."""
    with _running(subprocess.Popen, command(run, *overrides, preset=preset)) as process:
        yield process


@contextmanager
def forked(run: Path, *overrides: str) -> Iterator[subprocess.Popen[str]]:
    """As :func:`started`, with imports done before (:mod:`tests.trainer.support.forked`): for tests
    of what a run computes, not of how it starts or takes signals."""
    with _running(process_class(environment()), command(run, *overrides)) as process:
        yield process


@contextmanager
def _running(
    starts: type[subprocess.Popen[str]], arguments: list[str]
) -> Iterator[subprocess.Popen[str]]:
    process = starts(
        arguments,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for child in [*family(process.pid), *_members(process.pid)]:
            child.kill()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def _members(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                found.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return found


def leftovers(session: int) -> list[str]:
    """Processes of a run's session that still run."""
    return [process.name() for process in _members(session) if not _has_ended(process)]


def _has_ended(process: psutil.Process) -> bool:
    """Also if nobody has asked for its exit code yet: init may take a while on a busy machine."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def family(pid: int) -> list[psutil.Process]:
    """The descendants of a process."""
    try:
        children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return children


def segments(pid: int) -> set[Path]:
    """Shared memory under a name that a process and its descendants have mapped now."""
    found = set()
    for process in family(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
                _, marked, name = line.partition("/dev/shm/")
                if marked:
                    found.add(Path("/dev/shm", name))
    return {path for path in found if path.exists()}


def assert_stops(process: subprocess.Popen[str], stop: Callable[[], object]) -> None:
    """A signal ends the run and all that it started, with the right exit code."""
    children = family(process.pid)
    assert children
    stop()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "stopped by the user; the same command goes on from the last checkpoint" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not [one for one in alive if not _has_ended(one)], alive
    assert not leftovers(process.pid)


def train(run: Path, *overrides: str, within_s: float = 900) -> str:
    """Run to the end, :func:`forked`; returns what it printed."""
    with forked(run, *overrides) as process:
        output = _printed(process, within_s)
    assert process.returncode == 0, output
    return output


def finish(
    run: Path, *overrides: str, preset: str = "cpu_tiny", within_s: float = 900
) -> tuple[int, str]:
    """Run until it ends by itself; returns its exit code and what it printed."""
    with started(run, *overrides, preset=preset) as process:
        output = _printed(process, within_s)
    return process.returncode, output


def _printed(process: subprocess.Popen[str], within_s: float) -> str:
    try:
        return process.communicate(timeout=within_s)[0]
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGABRT)
        pytest.fail(f"the run did not end within {within_s} s")


def wait_for(
    condition: Callable[[], bool],
    within_s: float,
    what: str,
    run: subprocess.Popen[str] | None = None,
) -> None:
    """Wait until something holds; not any longer than the run, if one is given."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        if run is not None and run.poll() is not None and not condition():
            pytest.fail(f"{what}: the run has ended: {run.communicate()[0]}")
        time.sleep(0.1)


def metrics(run: Path) -> dict[int, dict[str, float]]:
    """The metrics file: those of each step."""
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    assert len({row["step"] for row in rows}) == len(rows), "a step is logged twice"
    return {row["step"]: row["metrics"] for row in rows}


def comparable(values: dict[str, float]) -> dict[str, float]:
    """The metrics that are a function of the seed."""
    return {name: x for name, x in values.items() if not name.startswith(NOT_COMPARABLE)}


def game_state(run: Path, step: int) -> Any:
    """The game's state in a checkpoint."""
    return json.loads((run / f"global_step_{step}" / "selfplay.json").read_text())["game"]
