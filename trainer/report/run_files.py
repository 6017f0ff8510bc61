"""The files of a run directory, read with care: it may be under way, killed, or damaged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_STEP = "global_step_"
_SAMPLED_STEPS = 3
"""Steps from the end of the run whose samples are shown; the first one is shown too."""


class NoRun(ValueError):
    """The directory holds nothing of a run; the text says so."""


@dataclass(frozen=True, slots=True)
class RunFiles:
    """A run, as far as it came."""

    folder: Path
    steps: tuple[int, ...]
    """Steps with metrics, in order."""
    metrics: tuple[Mapping[str, float], ...]
    """For each of these steps its finite numbers."""
    samples: tuple[Mapping[str, Any], ...]
    """Rows of the sample tables of some steps, each with its ``step`` and ``table``."""
    config: Mapping[str, Any]
    """The resolved configuration; empty if it is not there."""
    checkpoints: tuple[int, ...]
    missing: tuple[str, ...]
    """Sentences about what a whole run would have and this one has not."""

    def series(self, name: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Steps that have a metric, and its values."""
        pairs = [
            (step, values[name])
            for step, values in zip(self.steps, self.metrics, strict=True)
            if name in values
        ]
        return tuple(step for step, _ in pairs), tuple(value for _, value in pairs)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all metrics that any step has, sorted."""
        return tuple(sorted({name for values in self.metrics for name in values}))

    def setting(self, key: str) -> Any:
        """A value of the configuration by its dotted name; ``None`` if it is not there."""
        node: Any = self.config
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                return None
            node = node[part]
        return node


def read_run(folder: Path) -> RunFiles:
    """Read a run directory.

    Raises:
        NoRun: it does not exist, or holds nothing of a run.
    """
    if not folder.is_dir():
        raise NoRun(f"there is no directory {folder}")
    missing: list[str] = []
    by_step = _metrics(folder / "metrics.jsonl", missing)
    config = _config(folder / "config.yaml", missing)
    samples = _samples(folder / "samples", missing)
    checkpoints = _checkpoints(folder)
    if not (by_step or config or samples or checkpoints):
        raise NoRun(f"{folder} holds neither metrics nor samples, configuration or checkpoints")
    if not checkpoints:
        missing.append("checkpoints: none was saved yet")
    steps = tuple(sorted(by_step))
    run = RunFiles(
        folder=folder,
        steps=steps,
        metrics=tuple(by_step[step] for step in steps),
        samples=samples,
        config=config,
        checkpoints=checkpoints,
        missing=(),
    )
    total = run.setting("trainer.total_training_steps")
    done = steps[-1] if steps else 0
    if isinstance(total, int) and done < total:
        rest = f"step {total}" if done + 1 == total else f"steps {done + 1} to {total}"
        missing.insert(0, f"{rest}: the run is not at its end")
    gaps = sorted(set(range(1, done)) - set(steps))
    if gaps:
        missing.append(f"metrics of {len(gaps)} earlier steps, the first is step {gaps[0]}")
    return RunFiles(run.folder, steps, run.metrics, samples, config, checkpoints, tuple(missing))


def _metrics(path: Path, missing: list[str]) -> dict[int, dict[str, float]]:
    if not path.is_file():
        missing.append("metrics.jsonl: no step was finished yet")
        return {}
    found: dict[int, dict[str, float]] = {}
    broken = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            found[int(row["step"])] = {
                str(name): float(value)
                for name, value in row["metrics"].items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            broken += 1
    if broken:
        lines = "1 line" if broken == 1 else f"{broken} lines"
        missing.append(f"metrics.jsonl: {lines} cannot be read (cut off while written?)")
    if not found:
        missing.append("metrics.jsonl holds no step")
    return found


def _config(path: Path, missing: list[str]) -> Mapping[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing.append("config.yaml: the configuration of the run")
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        missing.append("config.yaml cannot be read")
        return {}
    return loaded if isinstance(loaded, Mapping) else {}


def _samples(folder: Path, missing: list[str]) -> tuple[Mapping[str, Any], ...]:
    files = sorted(folder.glob("step_*.jsonl")) if folder.is_dir() else []
    if not files:
        missing.append("samples: no step has written proposals and answers yet")
        return ()
    chosen = sorted({*files[:1], *files[-_SAMPLED_STEPS:]})
    rows: list[Mapping[str, Any]] = []
    broken = 0
    for file in chosen:
        number = file.stem.removeprefix("step_")
        step = int(number) if number.isdecimal() else 0
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if isinstance(row, dict):
                rows.append({"step": step, **row})
            else:
                broken += 1
    if broken:
        missing.append(f"samples: {broken} rows cannot be read")
    return tuple(rows)


def _checkpoints(folder: Path) -> tuple[int, ...]:
    names = (path.name.removeprefix(_STEP) for path in folder.glob(f"{_STEP}*") if path.is_dir())
    return tuple(sorted(int(name) for name in names if name.isdecimal()))
