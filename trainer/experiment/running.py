"""Runs of the trainer one after the other, each in a process of its own, and resumable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trainer.experiment.plan import Plan, Run, command, runs
from trainer.report.run_files import NoRun, read_run

LOG = "log.txt"
TIMES = "times.jsonl"
_END_WITHIN_S = 60.0

type Say = Callable[[str], None]


class RunFailed(RuntimeError):
    """A run ended early; the text says which one and where its output is."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a run."""

    seconds: float
    exit_code: int


def run_all(plan: Plan, model: Path, say: Say) -> None:
    """Run what is not done yet; a run that was cut off goes on from its last checkpoint.

    Raises:
        RunFailed: the trainer ended with an error.
        KeyboardInterrupt: after the run under way has ended.
    """
    for run in runs(plan):
        if is_done(run):
            say(f"{_name(run)}: done")
            continue
        say(f"{_name(run)}: {plan.steps} steps")
        attempt = _start(run, command(plan, run, model))
        if attempt.exit_code:
            raise RunFailed(
                f"{_name(run)} ended with exit code {attempt.exit_code}: {run.folder / LOG}"
            )
        say(f"{_name(run)}: {attempt.seconds:.0f} s")


def is_done(run: Run) -> bool:
    """Whether the last step's metrics are there, its evaluation included."""
    try:
        found = read_run(run.folder)
    except NoRun:
        return False
    return run.steps in found.series("val/accuracy")[0]


def attempts(run: Run) -> tuple[Attempt, ...]:
    """All starts of a run."""
    path = run.folder / TIMES
    if not path.is_file():
        return ()
    return tuple(Attempt(**json.loads(line)) for line in path.read_text().splitlines())


def _start(run: Run, arguments: Sequence[str]) -> Attempt:
    run.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (run.folder / LOG).open("a", encoding="utf-8") as log, _process(arguments, log) as process:
        exit_code = process.wait()
    attempt = Attempt(round(time.monotonic() - started, 1), exit_code)
    with (run.folder / TIMES).open("a", encoding="utf-8") as times:
        times.write(json.dumps({"seconds": attempt.seconds, "exit_code": attempt.exit_code}) + "\n")
    return attempt


@contextmanager
def _process(arguments: Sequence[str], log: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The trainer; if we are interrupted it is asked to end, and waited for."""
    environment = os.environ | {"COLUMNS": "200", "OMP_NUM_THREADS": _threads()}
    process = subprocess.Popen(
        arguments,
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _threads() -> str:
    """Generation and training take turns, so each may use all processor cores."""
    return os.environ.get("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))


def _name(run: Run) -> str:
    return f"{run.arm.name}, seed {run.seed}"
