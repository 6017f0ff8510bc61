"""Log of a run: metrics file, sample tables, a line for each step."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trainer.files import write_atomically
from trainer.run import wandb_extras

METRICS_FILE = "metrics.jsonl"
SAMPLES_FOLDER = "samples"


class Tracking(Protocol):
    """veRL's loggers."""

    def log(self, data: Mapping[str, Any], step: int) -> None:
        """Log a step's metrics."""
        ...

    def finish(self, exit_code: int = 0) -> None:
        """Flush and close."""
        ...


class RunLog:
    """Writes a run's files and passes metrics on to veRL's loggers.

    Args:
        run: The run directory.
        step: The step that the run goes on from; what is logged of later ones is removed, since
            they will be played again.
        total: Steps of the run.
        say: Takes lines for the console.
    """

    def __init__(self, run: Path, step: int, total: int, say: Callable[[str], None]) -> None:
        self._run = run
        self._total = total
        self._say = say
        self._tracking: Tracking | None = None
        (run / SAMPLES_FOLDER).mkdir(parents=True, exist_ok=True)
        self._logged = _cut_metrics(run / METRICS_FILE, step)
        _cut_samples(run / SAMPLES_FOLDER, step)

    def attach(self, tracking: Tracking) -> None:
        """Pass metrics on to veRL's loggers from now on."""
        self._tracking = tracking

    def log(self, data: Mapping[str, Any], step: int) -> None:
        """Log the metrics of a step."""
        metrics = numbers(data)
        line = json.dumps({"step": step, "metrics": metrics}, allow_nan=False)
        with (self._run / METRICS_FILE).open("a") as file:
            file.write(line + "\n")
        self._logged = step
        self._say(step_line(step, self._total, metrics))
        if self._tracking is not None:
            self._tracking.log(data=data, step=step)

    def fill(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Log the metrics of a step if the run was killed before it did."""
        if self._logged < step:
            self.log({name: value for name, value in metrics.items() if value is not None}, step)

    def samples(self, step: int, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Write a step's sample tables; each row says which table it is of. With wandb they are
        logged there too."""
        rows = [
            json.dumps({"table": name, **row}, ensure_ascii=False, default=str)
            for name, table in tables.items()
            for row in table
        ]
        path = self._run / SAMPLES_FOLDER / f"step_{step:06d}.jsonl"
        path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8", errors="replace")
        wandb = getattr(self._tracking, "logger", {}).get("wandb")
        if wandb is not None:
            wandb_extras.log_tables(wandb, step, tables)

    def finish(self, exit_code: int = 0) -> None:
        """Close veRL's loggers."""
        if self._tracking is not None:
            self._tracking.finish(exit_code=exit_code)


def step_line(step: int, total: int, metrics: Mapping[str, float | None]) -> str:
    """A step in one line."""
    parts = [f"step {step}/{total}"]
    for title, prefix, suffix in (
        ("reward proposing", "gen_", "/critic/rewards/mean"),
        ("solving", "pred_", "/critic/rewards/mean"),
    ):
        value = _mean(metrics, prefix, suffix)
        if value is not None:
            parts.append(f"{title} {value:+.3f}")
    solved = [
        f"{name.split('/')[0].removeprefix('pred_code_')} {value:.2f}"
        for name, value in sorted(metrics.items())
        if name.startswith("pred_") and name.endswith("/accuracy") and value is not None
    ]
    if solved:
        parts.append("solved " + " ".join(solved))
    for title, name, form in (
        ("grad norm", "actor/grad_norm", "{:.3g}"),
        ("seconds", "timing_s/step", "{:.1f}"),
    ):
        value = metrics.get(name)
        if value is not None:
            parts.append(f"{title} {form.format(value)}")
    return "  ".join(parts)


def _mean(metrics: Mapping[str, float | None], prefix: str, suffix: str) -> float | None:
    values = [
        value
        for name, value in metrics.items()
        if name.startswith(prefix) and name.endswith(suffix) and value is not None
    ]
    return sum(values) / len(values) if values else None


def numbers(data: Mapping[str, Any]) -> dict[str, float | None]:
    """Metrics as JSON has them, in the order of their names."""
    return {name: _number(value) for name, value in sorted(data.items())}


def _number(value: Any) -> float | None:
    """A finite number, else nothing: JSON has no NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _cut_metrics(path: Path, step: int) -> int:
    """Keep rows up to a step; returns the last step that is there, -1 if none is."""
    if not path.is_file():
        return -1
    kept, last = [], -1
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a line that a killed run did not finish
        if row["step"] <= step:
            kept.append(line + "\n")
            last = row["step"]
    write_atomically(path, "".join(kept).encode())
    return last


def _cut_samples(folder: Path, step: int) -> None:
    for path in folder.glob("step_*.jsonl"):
        number = path.stem.removeprefix("step_")
        if number.isdecimal() and int(number) > step:
            path.unlink()
