"""The page: everything in one file, and nothing in it can run or load anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.files import write_atomically
from trainer.pages import render
from trainer.report.charts import SECTIONS, draw
from trainer.report.run_files import RunFiles, read_run

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

_TEMPLATE = Path(__file__).with_name("report.html.j2")


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
    write_atomically(path, _page(run))
    return path, run.missing


def _page(run: RunFiles) -> str:
    drawn = {
        title: [(chart, draw(chart, run)) for chart in charts] for title, charts in SECTIONS.items()
    }
    return render(
        _TEMPLATE,
        {"anchor": _anchor, "short": _short},
        name=str(run.setting("trainer.experiment_name") or run.folder.name),
        progress=_progress(run),
        missing=run.missing,
        numbers=list(_numbers(run)),
        sections={
            title: [(chart, image) for chart, image in charts if image is not None]
            for title, charts in drawn.items()
        },
        absent=[c.title for charts in drawn.values() for c, image in charts if image is None],
        samples=_samples(run),
        settings=[(key, run.setting(key)) for key in _SETTINGS] if run.config else [],
    )


def _progress(run: RunFiles) -> str:
    total = run.setting("trainer.total_training_steps")
    done = run.steps[-1] if run.steps else 0
    text = f"{done} of {total} steps" if total else f"{done} steps"
    if run.checkpoints:
        text += f"; checkpoints of steps {', '.join(map(str, run.checkpoints))}"
    return text + "."


def _numbers(run: RunFiles) -> Iterator[tuple[str, tuple[float, ...]]]:
    """First, last, least and largest value of what people ask for first."""
    for name in run.names:
        ends = ("/critic/rewards/mean", "/accuracy", "/learnability", "/valid_rate")
        if name.endswith(ends) or name in _HEADLINES:
            _, values = run.series(name)
            yield name, (values[0], values[-1], min(values), max(values))


def _samples(run: RunFiles) -> list[tuple[str, list[dict[str, str]]]]:
    tables: dict[str, list[dict[str, str]]] = {}
    for row in run.samples:
        tables.setdefault(str(row.get("table", "samples")), []).append(_sample(row))
    return sorted(tables.items())


def _sample(row: Mapping[str, Any]) -> dict[str, str]:
    known = {"table", "step", "kind", "task", "thought", "response", "text", "solution"}
    response = str(row.get("response", row.get("text", "")))
    if row.get("solution") is not None:
        response = f"answer: {row['solution']}\n\n{response}"
    return {
        "where": f"{row.get('step', '')} {row.get('kind', '')}",
        "outcome": "\n".join(f"{key}: {_short(row[key])}" for key in row if key not in known),
        "task": _task(row.get("task")),
        "response": response[:_LONGEST_TEXT],
    }


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


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
