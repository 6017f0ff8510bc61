"""The page: everything in one file, and nothing in it can run or load anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from trainer.files import write_atomically
from trainer.report.charts import SECTIONS, draw
from trainer.report.run_files import Run, read_run

_SETTINGS = (
    "actor_rollout_ref.model.path",
    "actor_rollout_ref.rollout.name",
    "trainer.device",
    "trainer.nnodes",
    "trainer.n_gpus_per_node",
    "trainer.total_training_steps",
    "data.train_batch_size",
    "data.max_prompt_length",
    "data.max_response_length",
    "actor_rollout_ref.actor.optim.lr",
    "azr.problem_types",
    "azr.executor",
    "azr.reward.n_samples",
    "azr.advantage.weighting",
    "azr.seed",
)

_HEADLINES = {"timing_s/step", "actor/grad_norm", "executor/waiting_share"}

_LONGEST_TEXT = 6000

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2024; background: #fff; }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(27rem, 1fr)); gap: 1rem }
figure { margin: 0 } figcaption { font-size: 13px } figcaption b { display: block }
img { width: 100% } .missing { background: #fff6e0; padding: .6rem 1.2rem; border-radius: 6px }
table { border-collapse: collapse; font-size: 13px } td, th { border: 1px solid #ddd;
padding: .25rem .5rem; text-align: left; vertical-align: top }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; max-height: 24rem;
      overflow: auto } .samples td { max-width: 34rem } nav a { margin-right: 1rem }
"""


def write_report(folder: Path, out: Path | None = None) -> tuple[Path, tuple[str, ...]]:
    """Write the report of a run directory; returns its path, and what is missing in the run.

    Args:
        folder: The run directory; the run may be under way.
        out: The file; by default ``report.html`` in the run directory.

    Raises:
        NoRun: there is nothing to report.
        OSError: the file cannot be written.
    """
    run = read_run(folder)
    path = out or folder / "report.html"
    write_atomically(path, "\n".join(_page(run)))
    return path, run.missing


def _page(run: Run) -> Iterator[str]:
    name = escape(str(run.setting("trainer.experiment_name") or run.folder.name))
    yield "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    yield (
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; "
        "img-src data:; style-src 'unsafe-inline'\">"
    )
    yield f"<title>{name}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{name}</h1>"
    yield f"<p>{escape(_progress(run))}</p>"
    yield from _missing(run)
    titles = [*SECTIONS, "Samples", "Configuration"]
    yield "<nav>" + "".join(f"<a href='#{_anchor(t)}'>{escape(t)}</a>" for t in titles) + "</nav>"
    yield from _numbers(run)
    absent: list[str] = []
    for title, charts in SECTIONS.items():
        images = {chart: draw(chart, run) for chart in charts}
        absent += [chart.title for chart, image in images.items() if image is None]
        yield f"<h2 id='{_anchor(title)}'>{escape(title)}</h2>"
        if not any(images.values()):
            yield "<p>The run has no metrics for this.</p>"
        yield "<div class='charts'>"
        for chart, image in images.items():
            if image is not None:
                yield (
                    f"<figure><figcaption><b>{escape(chart.title)}</b> {escape(chart.about)}"
                    f"</figcaption><img alt='{escape(chart.title)}' src='{image}'></figure>"
                )
        yield "</div>"
    if absent:
        yield f"<p>Not plotted, since the run has no such metrics: {escape(', '.join(absent))}.</p>"
    yield from _samples(run)
    yield from _configuration(run)
    yield "</body></html>"


def _progress(run: Run) -> str:
    total = run.setting("trainer.total_training_steps")
    done = run.steps[-1] if run.steps else 0
    text = f"{done} of {total} steps" if total else f"{done} steps"
    if run.checkpoints:
        text += f"; checkpoints of steps {', '.join(map(str, run.checkpoints))}"
    return text + "."


def _missing(run: Run) -> Iterator[str]:
    if run.missing:
        items = "".join(f"<li>{escape(text)}</li>" for text in run.missing)
        yield f"<div class='missing'>Missing in this run:<ul>{items}</ul></div>"


def _numbers(run: Run) -> Iterator[str]:
    """First and last values of what people ask for first."""
    wanted = [
        name
        for name in run.names
        if name.endswith(("/critic/rewards/mean", "/accuracy", "/learnability", "/valid_rate"))
        or name in _HEADLINES
    ]
    if not wanted:
        return
    heads = "".join(f"<th>{head}</th>" for head in ("metric", "first", "last", "least", "most"))
    yield f"<h2>In numbers</h2><table><tr>{heads}</tr>"
    for name in wanted:
        _, values = run.series(name)
        shown = (values[0], values[-1], min(values), max(values))
        cells = "".join(f"<td>{value:.4g}</td>" for value in shown)
        yield f"<tr><td>{escape(name)}</td>{cells}</tr>"
    yield "</table>"


def _samples(run: Run) -> Iterator[str]:
    yield "<h2 id='samples'>Samples</h2>"
    if not run.samples:
        yield "<p>None yet.</p>"
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for row in run.samples:
        tables.setdefault(str(row.get("table", "samples")), []).append(row)
    for name, rows in sorted(tables.items()):
        yield f"<h3>{escape(name)}</h3><table class='samples'>"
        yield "<tr><th>step, kind</th><th>outcome</th><th>task</th><th>response</th></tr>"
        for row in rows:
            yield _sample(row)
        yield "</table>"


def _sample(row: Mapping[str, Any]) -> str:
    known = {"table", "step", "kind", "task", "thought", "response", "text", "solution"}
    outcome = "\n".join(f"{key}: {_short(value)}" for key, value in row.items() if key not in known)
    response = str(row.get("response", row.get("text", "")))
    if row.get("solution") is not None:
        response = f"answer: {row['solution']}\n\n{response}"
    where = f"{row.get('step', '')} {row.get('kind', '')}"
    return (
        f"<tr><td>{escape(where)}</td><td><pre>{escape(outcome)}</pre></td>"
        f"<td><pre>{escape(_task(row.get('task')))}</pre></td>"
        f"<td><pre>{escape(response[:_LONGEST_TEXT])}</pre></td></tr>"
    )


def _task(task: Any) -> str:
    if not isinstance(task, Mapping):
        return ""
    parts = [str(task.get("snippet", ""))]
    parts += [
        f"{key}: {_short(task[key])}"
        for key in ("input", "output", "inputs", "outputs", "message")
        if key in task
    ]
    return "\n\n".join(parts)[:_LONGEST_TEXT]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _configuration(run: Run) -> Iterator[str]:
    yield "<h2 id='configuration'>Configuration</h2>"
    if not run.config:
        yield "<p>config.yaml is missing.</p>"
        return
    yield "<table>"
    for key in _SETTINGS:
        yield f"<tr><td>{escape(key)}</td><td>{escape(_short(run.setting(key)))}</td></tr>"
    yield "</table><p>All of it is in config.yaml.</p>"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
