"""The report: one page with the figure and the table of arms, and the numbers as JSON."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer.experiment.arms import NO_UPDATES
from trainer.experiment.intervals import Interval
from trainer.experiment.plots import draw
from trainer.experiment.results import (
    TYPES,
    Accuracy,
    ArmRow,
    Result,
    as_json,
    curves,
    table,
)
from trainer.experiment.tried import TRIED
from trainer.files import write_atomically
from trainer.pages import render

FIGURE, PAGE, NUMBERS = "learning.png", "learning.html", "learning.json"
HOW: Mapping[str, Callable[[ArmRow], Accuracy | None]] = {
    "temperature 1": lambda row: row.sampled,
    "greedy": lambda row: row.greedy,
}
TITLES = (
    "arm", "seeds",
    *(f"{what} ({how})" for how in HOW for what in ("before", "after", "gain over no updates")),
    "valid", "learnability", "suspicious", "s per step", "s per run",
)  # fmt: skip
_LIBRARIES = ("verl", "torch", "transformers", "ray", "numpy")
_TEMPLATE = Path(__file__).with_name("learning.html.j2")


def write(results: Sequence[Result], about: Mapping[str, Any], folder: Path) -> tuple[ArmRow, ...]:
    """Write figure, page and numbers into a folder; returns the table.

    ``about`` has the ``command``, the number of held-out tasks of each type and level (``tasks``),
    and whatever else the page is to say.
    """
    rows = table(results, int(about["tasks"]))
    draw(results, folder / FIGURE)
    versions = {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}
    _write_numbers(
        folder / NUMBERS,
        {"about": dict(about), "versions": versions, "arms": as_json(rows)},
        curves(results),
    )
    image = base64.b64encode((folder / FIGURE).read_bytes()).decode()
    page = render(
        _TEMPLATE,
        {},
        arms=[row.arm for row in rows],
        titles=TITLES,
        rows=[cells(row) for row in rows],
        comparisons=comparisons(rows),
        details={name: _details(rows, find) for name, find in HOW.items()},
        image=image,
        tried=TRIED,
        about={**about, **versions},
    )
    write_atomically(folder / PAGE, page)
    return rows


def _write_numbers(path: Path, numbers: Mapping[str, Any], runs: Sequence[Any]) -> None:
    """As JSON, a run a line: the whole of it indented would be thousands of lines."""
    head = json.dumps(numbers, indent=1).removesuffix("\n}")
    lines = ",\n".join(json.dumps(run) for run in runs)
    path.write_text(f'{head},\n "runs": [\n{lines}\n]\n}}\n', encoding="utf-8")


def _details(
    rows: Sequence[ArmRow], find: Callable[[ArmRow], Accuracy | None]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Title and rows of the table of types and levels."""
    found = [(row, accuracy) for row in rows if (accuracy := find(row))]
    levels = list(found[0][1].by_level) if found else []
    lines = [
        (
            row.arm.title,
            percent(accuracy.end_over_tasks),
            *(percent(interval) for interval in accuracy.by_type.values()),
            *(f"{accuracy.by_level[name]:.0%}" for name in levels),
        )
        for row, accuracy in found
    ]
    return ("arm", "all, for the choice of tasks", *TYPES.values(), *levels), lines


def comparisons(rows: Sequence[ArmRow]) -> tuple[str, ...]:
    """A sentence for each arm that is compared with the one without updates, and each measure."""
    base = next((row for row in rows if row.arm == NO_UPDATES), None)
    if base is None:
        return ()
    return tuple(
        f"{row.arm.title}, {name}: {_compared(own, other)}"
        for row in rows
        for name, find in HOW.items()
        if row is not base and (own := find(row)) and (other := find(base))
    )


def _compared(own: Accuracy, base: Accuracy) -> str:
    points = 100 * (own.end.mean - base.end.mean)
    overlap = {True: "overlap", False: "do not overlap", None: "are not known (one seed)"}
    return (
        f"{points:+.1f} points against no updates; the 95 % intervals over seeds "
        f"{overlap[own.end.overlaps(base.end)]}"
    )


def cells(row: ArmRow) -> tuple[str, ...]:
    """A row of the table, as text; see :data:`TITLES`."""
    return (
        row.arm.title,
        str(row.seeds),
        *(text for find in HOW.values() for text in _accuracies(find(row))),
        f"{row.valid[0]:.0%} → {row.valid[1]:.0%}",
        f"{row.learnability[0]:.2f} → {row.learnability[1]:.2f}",
        f"{row.hacks:.0f}",
        f"{row.step_s:.1f}",
        f"{row.total_s:.0f}",
    )


def _accuracies(accuracy: Accuracy | None) -> tuple[str, str, str]:
    if accuracy is None:
        return "", "", ""
    gain = percent(accuracy.gain) if accuracy.gain else ""
    return f"{accuracy.start:.1%}", percent(accuracy.end), gain


def percent(interval: Interval) -> str:
    """``42.0% [40.1%, 43.9%]``."""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.1%}"
    return f"{interval.mean:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
