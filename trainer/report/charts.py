"""Charts: the metrics that are plotted together, and how."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from typing import Any, Literal

from trainer.report.run_files import RunFiles

type Style = Literal["lines", "log", "stacked"]


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot over steps of all metrics whose whole name a pattern matches."""

    title: str
    about: str
    """A sentence for people."""
    pattern: str
    """Groups in it make the label of a line; without any the name is the label."""
    style: Style = "lines"
    low: float | None = None
    high: float | None = None


SECTIONS: dict[str, tuple[Chart, ...]] = {
    "Rewards": (
        Chart(
            "Proposer's reward", "Mean over a step's proposals.", r"(gen_\w+)/critic/rewards/mean"
        ),
        Chart("Solver's reward", "Mean over a step's answers.", r"(pred_\w+)/critic/rewards/mean"),
    ),
    "Solving": (
        Chart(
            "Accuracy",
            "Share of right answers, among those that could be judged.",
            r"(pred_\w+)/accuracy",
            low=0,
            high=1,
        ),
        Chart(
            "Well-formed responses",
            "Share with think and answer tags.",
            r"(\w+)/format_score",
            low=0,
            high=1,
        ),
        Chart(
            "Validation", "Greedy accuracy on benchmarks.", r"val\S*/test_score/(.+)", low=0, high=1
        ),
    ),
    "Proposing": (
        Chart(
            "Valid share", "Proposals that are sound tasks.", r"(gen_\w+)/valid_rate", low=0, high=1
        ),
        Chart(
            "Learnability",
            "1 - solve rate, 0 where all or none is solved; mean over valid proposals.",
            r"(gen_\w+)/learnability",
            low=0,
            high=1,
        ),
        Chart("Solve rate", "Of valid proposals.", r"(gen_\w+)/solve_rate", low=0, high=1),
        Chart(
            "Neither trivial nor impossible",
            "Share of valid proposals that some rollouts solve and others do not.",
            r"(gen_\w+)/solvable_rate",
            low=0,
            high=1,
        ),
        Chart("Why proposals fail", "Share of proposals by outcome.", r"(gen_\w+)/status/(\w+)"),
        Chart("Duplicates", "Proposals that a buffer holds already.", r"(gen_\w+)/duplicates"),
    ),
    "Buffers": (
        Chart("Tasks in the buffers", "Of each type.", r"buffers/(\w+)/size"),
        Chart(
            "Distinct values",
            "Different inputs, outputs, errors.",
            r"types/(\w+)/total_unique_values",
        ),
        Chart("Distinct types", "Python types among them.", r"types/(\w+)/distinct_types"),
    ),
    "Diversity and complexity": (
        Chart(
            "Rarity of answers",
            "How rare a task's input, output or error is among those known.",
            r"(gen_\w+)/((?:\w+_)?answer_diversity)",
        ),
        Chart(
            "Distance to the references",
            "Edit distance of syntax trees.",
            r"(gen_\w+)/mean_edit_distance",
        ),
        Chart("Cognitive complexity", "Divided by 15.", r"(gen_\w+)/complexity"),
        Chart(
            "Halstead's measures", "Effort, volume, cyclomatic complexity.", r"(gen_\w+)/halstead"
        ),
        Chart("Lines of programs", "Proposed (gen) and shown (pred).", r"(\w+)/avg_program_lines"),
    ),
    "Lengths": (
        Chart("Response length", "Mean tokens.", r"(\w+)/response_length/mean"),
        Chart(
            "Cut responses",
            "Share that the length limit ended.",
            r"(\w+)/response_length/clip_ratio",
            low=0,
            high=1,
        ),
        Chart("Prompt length", "Mean tokens.", r"(\w+)/prompt_length/mean"),
        Chart(
            "Looking back",
            "Share of responses with words of reflection.",
            r"(\w+)/response_length/reflect_ratio",
            low=0,
            high=1,
        ),
    ),
    "Executor": (
        Chart("Validations by outcome", "", r"executor/validate/(\w+)", "stacked"),
        Chart("Judged answers by outcome", "", r"executor/judge/(\w+)", "stacked"),
        Chart(
            "Share of the step spent waiting for the executor",
            "",
            r"executor/(waiting_share)",
            low=0,
            high=1,
        ),
        Chart(
            "Seconds",
            "Over all sandboxes; waiting_s is the step's.",
            r"executor/(wall_s|cpu_s|waiting_s)",
        ),
        Chart(
            "Suspicious outcomes",
            "Which honest programs hardly have: attempts on the sandbox or the verdict.",
            r"executor/suspicious/(\w+)",
        ),
        Chart(
            "Signs of cheating",
            "Inputs of proposals and answers that showed each; hints, not verdicts.",
            r"executor/signals/(\w+)",
        ),
        Chart("Masked samples", "Platform faults: never scored.", r"(\w+)/masked"),
    ),
    "Time": (
        Chart("Seconds of a step by part", "", r"timing_s/(?!step$|play$)(\w+)", "stacked"),
        Chart("Seconds of a step", "play: the game, generation included.", r"timing_s/(step|play)"),
        Chart("Tokens per second", "Of the whole step, for each GPU.", r"perf/(throughput)"),
    ),
    "Optimization": (
        Chart("Gradient norm", "", r"actor/(grad_norm)"),
        Chart("Entropy", "Mean over response tokens.", r"actor/(entropy)"),
        Chart(
            "Rollout against trainer",
            "Largest and mean difference of a token's probability: are the weights in step?",
            r"training/rollout_probs_diff_(max|mean)",
            "log",
        ),
        Chart("Learning rate", "", r"actor/(lr)"),
    ),
}


def lines_of(chart: Chart, run: RunFiles) -> dict[str, str]:
    """The metrics of a chart that a run has, by label."""
    found = {}
    for name in run.names:
        match = re.fullmatch(chart.pattern, name)
        if match:
            found[" ".join(group for group in match.groups() if group) or name] = name
    return found


def draw(chart: Chart, run: RunFiles) -> str | None:
    """The plot as a ``data:`` URL of an SVG image; ``None`` if the run has none of its metrics."""
    lines = lines_of(chart, run)
    if not lines:
        return None
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "report", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(6.2, 3.1), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _plot(axes, chart, run, lines)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.margins(x=0.02)
        if chart.low is not None and chart.high is not None:
            room = (chart.high - chart.low) * 0.03
            axes.set_ylim(chart.low - room, chart.high + room)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=7, ncols=1 + len(lines) // 9, loc="best", framealpha=0.7)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plot(axes: Any, chart: Chart, run: RunFiles, lines: dict[str, str]) -> None:
    if chart.style == "stacked":
        steps = list(run.steps)
        columns = [[values.get(name, 0.0) for values in run.metrics] for name in lines.values()]
        bottom = [0.0] * len(steps)
        for label, column in zip(lines, columns, strict=True):
            axes.bar(steps, column, bottom=bottom, width=1.0, label=label)
            bottom = [low + more for low, more in zip(bottom, column, strict=True)]
        axes.set_ylim(0, max(bottom, default=0.0) * 1.05 or 1.0)
        return
    for label, name in lines.items():
        steps_of, values = run.series(name)
        axes.plot(
            steps_of, values, marker="o" if len(values) < 30 else "", markersize=3, label=label
        )
    if chart.style == "log" and any(
        value > 0 for name in lines.values() for value in run.series(name)[1]
    ):
        axes.set_yscale("log")
