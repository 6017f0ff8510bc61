"""Which checkpoint of a run is the best one by validation, and for how long none was better.

The run directory holds it in ``best.json``, so that a run that goes on, and a person, find it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trainer.files import write_atomically
from trainer.run import checkpoints

FILE = "best.json"


@dataclass(frozen=True, slots=True)
class Best:
    """The best step so far."""

    step: int
    """0: the model that the run began with."""
    metric: str
    value: float
    noted: int
    """Step of the last validation."""
    without: int = 0
    """Validations since then, none of them better."""


def read(run: Path, metric: str, step: int) -> Best | None:
    """What a run's file says, if it is about this metric and no step after ``step``: a run that
    has begun again from an earlier one has nothing of later ones."""
    try:
        best = Best(**json.loads((run / FILE).read_bytes()))
        later = best.metric != metric or best.step > step
    except (OSError, ValueError, TypeError):
        return None
    return None if later else best


def note(run: Path, metric: str, step: int, metrics: Mapping[str, float]) -> Best | None:
    """Take a validation into account; ``None`` if it has no such figure.

    Doing so twice with the same step changes nothing.
    """
    value = metrics.get(metric)
    if value is None or math.isnan(value):
        return None
    best = read(run, metric, step)
    if best is not None and best.noted >= step:
        return best
    if best is None or value > best.value:
        best = Best(step, metric, value, step)
    else:
        best = replace(best, noted=step, without=best.without + 1)
    write_atomically(run / FILE, json.dumps(asdict(best)) + "\n")
    return best


def prune(run: Path, keep: int | None) -> None:
    """Remove old checkpoints, but never the best one; see :func:`checkpoints.prune`."""
    try:
        spared = int(json.loads((run / FILE).read_bytes())["step"])
    except (OSError, ValueError, KeyError, TypeError):
        spared = None
    checkpoints.prune(run, keep, spared)
