"""Does a set-up work, from start to model?

Five short steps of ``preset=single_gpu_80gb`` (or another ``preset=``), killed after the third and
gone on with, then the conversion of the checkpoint. Prints one table: time of each phase, memory,
and how far rollout and trainer are apart. Exit codes: 0 all is as it should be, 1 not.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from trainer.tools.convert_to_hf import ConversionError, convert, find_actor

STEPS = 5
KILLED_AFTER = 3
SAVE_EVERY = 2

_PRESET = "preset=single_gpu_80gb"
_SHORT = (
    "data.train_batch_size=8",
    "data.max_response_length=1024",
    "azr.reward.n_samples=4",
    "azr.data_selection_strategy.seed_batch_factor=1",
    "azr.seed_dataset=builtin",
    "azr.error_seed_dataset=builtin",
    "azr.code_f_seed_dataset=builtin",
)
"""Long enough to use all that a run uses, short enough for ten minutes."""

_DIFFERENCE = "training/rollout_probs_diff_mean"
_MOST_DIFFERENT = 0.02
"""Mean difference of a token's probability in rollout and trainer. In bfloat16 it is below 0.01;
with other weights it is far above."""

_ROWS = {
    "seconds: generating": "timing_s/gen",
    "seconds: log-probabilities": "timing_s/old_log_prob",
    "seconds: update": "timing_s/update_actor",
    "seconds: weights to the rollout": "timing_s/update_weights",
    "seconds: checkpoint": "timing_s/save_checkpoint",
    "seconds: whole step": "timing_s/step",
    "probability, rollout - trainer, mean": _DIFFERENCE,
    "probability, rollout - trainer, most": "training/rollout_probs_diff_max",
    "gradient norm": "actor/grad_norm",
    "GiB of a GPU, allocated at most": "perf/max_memory_allocated_gb",
    "GiB of a GPU, reserved at most": "perf/max_memory_reserved_gb",
    "GiB of the machine": "perf/cpu_memory_used_gb",
    "waiting for the executor, share": "executor/waiting_share",
    "tokens of a response, mean": "response_length/mean",
}


@dataclass(slots=True)
class Found:
    """Findings of the smoke run."""

    steps: dict[int, Mapping[str, float]] = field(default_factory=dict)
    events: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def try_out(out: Path, overrides: Sequence[str], deadline: float) -> Found:
    """Train, kill, resume and convert in ``out``, until ``deadline`` (monotonic) at most."""
    found = Found()
    run = out / "run"
    command = _command(run, overrides)
    started = time.monotonic()
    first = _train(command, run, out / "log_1.txt", deadline, stop_after=KILLED_AFTER)
    found.events.append(("seconds of the first start", f"{time.monotonic() - started:.0f}"))
    if first != -signal.SIGKILL:
        found.problems.append(f"step {KILLED_AFTER} was not reached: see {out / 'log_1.txt'}")
        found.steps = read_steps(run)
        return found
    done = max(read_steps(run))
    started = time.monotonic()
    second = _train(command, run, out / "log_2.txt", deadline)
    found.events.append(("killed after step", str(done)))
    found.events.append(("seconds of the second start", f"{time.monotonic() - started:.0f}"))
    found.steps = read_steps(run)
    log = (out / "log_2.txt").read_text(errors="replace")
    resumed = next((line for line in log.splitlines() if "going on from step" in line), "")
    found.events.append(("resume", resumed.split(" (")[0] or "none"))
    if second or not resumed:
        found.problems.append(f"the run did not go on to its end: see {out / 'log_2.txt'}")
        return found
    found.problems += problems(found.steps)
    _convert(run, out / "model", found)
    return found


def problems(steps: Mapping[int, Mapping[str, float]]) -> list[str]:
    """Problems in the metrics of all steps."""
    wrong = []
    missing = sorted(set(range(1, STEPS + 1)) - steps.keys())
    if missing:
        wrong.append(f"no metrics of steps {missing}")
    for step, values in sorted(steps.items()):
        if not step:
            continue  # a validation before the first step
        difference = values.get(_DIFFERENCE, math.nan)
        if not difference <= _MOST_DIFFERENT:
            wrong.append(
                f"step {step}: rollout and trainer differ by {difference:.3g} a token, more than "
                f"{_MOST_DIFFERENT}: the weights are not in step"
            )
        if not math.isfinite(values.get("actor/grad_norm", math.nan)):
            wrong.append(f"step {step}: the gradient norm is no number")
    return wrong


def table(found: Found) -> Table:
    """The one table."""
    steps = sorted(found.steps)
    shown = Table(title="smoke run")
    shown.add_column("")
    for step in steps or [0]:
        shown.add_column(f"step {step}" if step else "", justify="right")
    for title, name in _ROWS.items():
        values = [found.steps[step].get(name) for step in steps]
        if any(value is not None for value in values):
            shown.add_row(title, *("" if value is None else f"{value:.4g}" for value in values))
    shown.add_section()
    for title, text in found.events:
        shown.add_row(title, text)
    shown.add_row("result", "FAILED" if found.problems else "as it should be")
    return shown


def read_steps(run: Path) -> dict[int, Mapping[str, float]]:
    """The metrics of the steps that were trained, in the last version of each."""
    path = run / "metrics.jsonl"
    rows: dict[int, Mapping[str, float]] = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # being written
        rows[int(row["step"])] = {k: v for k, v in row["metrics"].items() if v is not None}
    return rows


def _command(run: Path, overrides: Sequence[str]) -> list[str]:
    preset = [] if any(text.startswith("preset=") for text in overrides) else [_PRESET]
    return [
        *(sys.executable, "-m", "trainer", *preset, *_SHORT),
        f"trainer.total_training_steps={STEPS}",
        f"trainer.save_freq={SAVE_EVERY}",
        f"trainer.default_local_dir={run}",
        *overrides,
    ]


def _train(
    command: Sequence[str], run: Path, log: Path, deadline: float, stop_after: int | None = None
) -> int:
    """The exit code; the run is killed after a step, or at the deadline, with all that it began."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while (code := process.poll()) is None:
            if stop_after is not None and stop_after in read_steps(run):
                _kill(process)
                return process.wait()
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
                return 1
            time.sleep(0.2)
        return code
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """As when the power fails: all at once. What lives on would hold the GPU's memory."""
    for pid in [process.pid, *_descendants(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = list(children.get(pid, ()))
    for child in found:  # grows
        found += children.get(child, ())
    return found


def _convert(run: Path, out: Path, found: Found) -> None:
    started = time.monotonic()
    try:
        convert(find_actor(run), out)
    except (ConversionError, OSError) as error:
        found.problems.append(str(error))
        return
    size = sum(path.stat().st_size for path in out.glob("*.safetensors")) / 2**30
    found.events.append(("converted", f"{size:.2f} GiB, {time.monotonic() - started:.0f} s"))
