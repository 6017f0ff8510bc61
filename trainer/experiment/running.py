"""Runs of the trainer, each in a process of its own, some at a time, and resumable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.experiment.plan import ArmRun, Plan, command, runs
from trainer.report.run_files import NoRun, read_run
from trainer.run.lifetime import bound

LOG = "log.txt"
TIMES = "times.jsonl"
_END_WITHIN_S = 60.0
_POLL_S = 0.5

type Say = Callable[[str], None]


class RunFailed(RuntimeError):
    """A run ended early; the text says which one and where its output is."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a run."""

    seconds: float
    exit_code: int


@dataclass(frozen=True, slots=True)
class _Started:
    """A run under way."""

    run: ArmRun
    process: subprocess.Popen[bytes]
    started: float


def run_all(plan: Plan, model: Path, say: Say, jobs: int = 1) -> None:
    """Run what is not done yet, ``jobs`` at a time, which share the processor cores.

    A run that was cut off goes on from its last checkpoint.

    Raises:
        RunFailed: the trainer ended with an error; the other runs under way have been stopped.
        KeyboardInterrupt: after the runs under way have ended.
    """
    waiting = deque(_not_done(plan, say))
    under_way: list[_Started] = []
    try:
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                run = waiting.popleft()
                say(f"{_name(run)}: {plan.steps} steps")
                under_way.append(_start(run, command(plan, run, model), jobs))
            time.sleep(_POLL_S)
            for one in [one for one in under_way if one.process.poll() is not None]:
                under_way.remove(one)
                _finish(one, say)
    finally:
        _end(under_way)


def _not_done(plan: Plan, say: Say) -> Iterator[ArmRun]:
    for run in runs(plan):
        if is_done(run):
            say(f"{_name(run)}: done")
        else:
            yield run


def is_done(run: ArmRun) -> bool:
    """Whether the last step's metrics are there, its evaluation included."""
    try:
        found = read_run(run.folder)
    except NoRun:
        return False
    return run.steps in found.series("val/accuracy")[0]


def attempts(run: ArmRun) -> tuple[Attempt, ...]:
    """All starts of a run."""
    path = run.folder / TIMES
    if not path.is_file():
        return ()
    return tuple(Attempt(**json.loads(line)) for line in path.read_text().splitlines())


def _start(run: ArmRun, arguments: Sequence[str], jobs: int) -> _Started:
    run.folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "COLUMNS": "200",
        "OMP_NUM_THREADS": _threads(jobs),
        # Threads that wait sleep: the cores are shared with the executor and with other runs.
        "OMP_WAIT_POLICY": "passive",
    }
    with (run.folder / LOG).open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            bound(arguments),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    return _Started(run, process, time.monotonic())


def _finish(one: _Started, say: Say) -> None:
    attempt = _record(one)
    if attempt.exit_code:
        raise RunFailed(
            f"{_name(one.run)} ended with exit code {attempt.exit_code}: {one.run.folder / LOG}"
        )
    say(f"{_name(one.run)}: {attempt.seconds:.0f} s")


def _record(one: _Started) -> Attempt:
    attempt = Attempt(round(time.monotonic() - one.started, 1), one.process.returncode)
    with (one.run.folder / TIMES).open("a", encoding="utf-8") as times:
        times.write(json.dumps({"seconds": attempt.seconds, "exit_code": attempt.exit_code}) + "\n")
    return attempt


def _end(under_way: Sequence[_Started]) -> None:
    """Ask trainers to end, and wait for them."""
    for one in under_way:
        one.process.send_signal(signal.SIGTERM)
    for one in under_way:
        try:
            one.process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()
        _record(one)


def _threads(jobs: int) -> str:
    """Generation and training of a run take turns, so each may use all of its processor cores."""
    cores = len(os.sched_getaffinity(0))
    return os.environ.get("OMP_NUM_THREADS", str(max(1, cores // jobs)))


def _name(run: ArmRun) -> str:
    return f"{run.arm.name}, seed {run.seed}"
