"""The report: one page with the figure and the table of arms, and the numbers as JSON."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer.experiment.arms import NO_UPDATES
from trainer.experiment.intervals import Interval
from trainer.experiment.plots import draw
from trainer.experiment.results import TYPES, Result, Row, as_json, curves, table
from trainer.experiment.tried import TRIED

FIGURE, PAGE, NUMBERS = "learning.png", "learning.html", "learning.json"
_LIBRARIES = ("verl", "torch", "transformers", "ray", "numpy")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.25em .6em;border-bottom:1px solid #ccc;"
    "text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write(results: Sequence[Result], about: Mapping[str, Any], folder: Path) -> tuple[Row, ...]:
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
    page = "\n".join(_page(rows, {**about, **versions}, image))
    (folder / PAGE).write_text(page, encoding="utf-8")
    return rows


def _write_numbers(path: Path, numbers: Mapping[str, Any], runs: Sequence[Any]) -> None:
    """As JSON, a run a line: the whole of it indented would be thousands of lines."""
    head = json.dumps(numbers, indent=1).removesuffix("\n}")
    lines = ",\n".join(json.dumps(run) for run in runs)
    path.write_text(f'{head},\n "runs": [\n{lines}\n]\n}}\n', encoding="utf-8")


def _page(rows: Sequence[Row], about: Mapping[str, Any], image: str) -> Iterator[str]:
    yield "<!doctype html><html lang='en'><meta charset='utf-8'><title>Does it learn?</title>"
    yield f"<meta http-equiv='Content-Security-Policy' content=\"{_POLICY}\">"
    yield f"<style>{_STYLE}</style><h1>Self-play against controls</h1>"
    for row in rows:
        yield f"<p><b>{escape(row.arm.title)}</b>: {escape(row.arm.about)}</p>"
    yield from _table(rows)
    yield (
        "<p>Held-out accuracy is greedy, the mean of the task types. Brackets: 95 % interval over "
        "seeds (Student's t; none with one seed); in the next column for the choice of tasks. "
        "Valid share and learnability: first against last ten steps.</p>"
    )
    yield "<p>" + "<br>".join(map(escape, comparisons(rows))) + "</p>"
    yield "<h2>By difficulty</h2>"
    yield from _levels(rows)
    yield f"<h2>Curves</h2><img alt='curves' src='data:image/png;base64,{image}'>"
    yield "<h2>What was tried before, on development programs</h2><table>"
    yield "<tr><th>setting</th><th>what came of it</th></tr>"
    for setting, outcome in TRIED:
        yield f"<tr><td>{escape(setting)}</td><td>{escape(outcome)}</td></tr>"
    yield "</table>"
    yield "<h2>How</h2><table>"
    for name, value in about.items():
        yield f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>"
    yield "</table></html>"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    titles = (
        "arm", "seeds", "before", "after", "after (tasks)", "gain over no updates", *TYPES.values(),
        "valid", "learnability", "suspicious", "s per step", "s per run",
    )  # fmt: skip
    yield "<table><tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells(row)) + "</tr>"
    yield "</table>"


def _levels(rows: Sequence[Row]) -> Iterator[str]:
    names = list(rows[0].by_level) if rows else []
    yield "<table><tr><th>arm</th>" + "".join(f"<th>{escape(name)}</th>" for name in names)
    for row in rows:
        found = "".join(f"<td>{row.by_level[name]:.0%}</td>" for name in names)
        yield f"</tr><tr><td>{escape(row.arm.title)}</td>{found}"
    yield "</tr></table>"


def comparisons(rows: Sequence[Row]) -> tuple[str, ...]:
    """A sentence for each arm that is compared with the one without updates."""
    base = next((row for row in rows if row.arm == NO_UPDATES), None)
    if base is None:
        return ()
    return tuple(_comparison(row, base) for row in rows if row is not base and row.gain)


def _comparison(row: Row, base: Row) -> str:
    points = 100 * (row.end.mean - base.end.mean)
    overlap = {True: "overlap", False: "do not overlap", None: "are not known (one seed)"}
    return (
        f"{row.arm.title}: {points:+.1f} points against no updates; the 95 % intervals over seeds "
        f"{overlap[row.end.overlaps(base.end)]}"
    )


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, as text."""
    return (
        row.arm.title,
        str(row.seeds),
        f"{row.start:.1%}",
        percent(row.end),
        percent(row.end_over_tasks),
        percent(row.gain) if row.gain else "",
        *(percent(interval) for interval in row.by_type.values()),
        f"{row.valid[0]:.0%} → {row.valid[1]:.0%}",
        f"{row.learnability[0]:.2f} → {row.learnability[1]:.2f}",
        f"{row.hacks:.0f}",
        f"{row.step_s:.1f}",
        f"{row.total_s:.0f}",
    )


def percent(interval: Interval) -> str:
    """``42.0% [40.1%, 43.9%]``."""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.1%}"
    return f"{interval.mean:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
