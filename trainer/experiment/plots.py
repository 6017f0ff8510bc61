"""The figure: learning curves with their spread, and what is proposed over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trainer.experiment.arms import Arm
from trainer.experiment.results import (
    HACKS,
    LEARNABILITY,
    TRAINING_ACCURACY,
    TYPES,
    VALID,
    Measure,
    Result,
    held_out,
    held_out_of,
    held_out_sampled,
    mean_of,
    sum_of,
)

_SMOOTH = 5
"""Steps that a point of a noisy curve is the mean of."""


class Panel(NamedTuple):
    """A plot of one measure, a line for each arm."""

    title: str
    measure: Measure
    smooth: bool = True
    share: bool = False
    """From 0 to 1."""


PANELS = (
    Panel("Held-out accuracy (temperature 1)", held_out_sampled, smooth=False, share=True),
    *(
        Panel(f"Held-out {name} (t. 1)", held_out_of(kind, how="sampled"), False, share=True)
        for kind, name in TYPES.items()
    ),
    Panel("Held-out accuracy (greedy)", held_out, smooth=False, share=True),
    *(
        Panel(f"Held-out {name} (greedy)", held_out_of(kind), smooth=False, share=True)
        for kind, name in TYPES.items()
    ),
    Panel("Accuracy on a step's tasks (temperature 1)", TRAINING_ACCURACY, share=True),
    Panel("Share of valid proposals", VALID, share=True),
    Panel("Learnability of valid proposals", LEARNABILITY, share=True),
    Panel("Solve rate of valid proposals", mean_of(r"gen_code_\w/solve_rate"), share=True),
    Panel("Duplicates of a step", sum_of(r"gen_code_\w/duplicates")),
    Panel(
        "Different values in the buffers", sum_of(r"types/\w+/total_unique_values"), smooth=False
    ),
    Panel("Edit distance to the references", mean_of(r"gen_code_\w/mean_edit_distance")),
    Panel("Lines of proposed programs", mean_of(r"gen_code_\w/avg_program_lines")),
    Panel("Cognitive complexity", mean_of(r"gen_code_\w/complexity")),
    Panel("Suspicious outcomes of a step", HACKS),
    Panel("Tokens of a response", mean_of("response_length/mean")),
    Panel("Seconds of a step", mean_of("timing_s/step"), smooth=False),
)


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the figure as PNG. A line is the mean of an arm's seeds, the band their range."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns, rows = 4, -(-len(PANELS) // 4)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    arms = list(dict.fromkeys(result.arm for result in results))
    for number, panel in enumerate(PANELS, 1):
        axes = figure.add_subplot(rows, columns, number)
        for at, arm in enumerate(arms):
            own = [result for result in results if result.arm == arm]
            _line(axes, panel, arm, own, f"C{at}")
        axes.set_title(panel.title, fontsize=10)
        axes.grid(alpha=0.3)
        if panel.share:
            axes.set_ylim(-0.03, 1.03)
        if number == 1:
            axes.legend(fontsize=8)
    figure.savefig(path, dpi=90, metadata={"Software": None})


def _line(axes: Any, panel: Panel, arm: Arm, own: Sequence[Result], color: str) -> None:
    by_step: dict[int, list[float]] = {}
    for result in own:
        steps, values = result.series(panel.measure)
        smooth = smoothed(values) if panel.smooth else values
        for step, value in zip(steps, smooth, strict=True):
            by_step.setdefault(step, []).append(value)
    steps = tuple(sorted(by_step))
    means = [sum(by_step[step]) / len(by_step[step]) for step in steps]
    marker = "o" if len(steps) < 15 else ""
    axes.plot(steps, means, color=color, label=arm.title, marker=marker, markersize=3)
    lows, highs = [min(by_step[s]) for s in steps], [max(by_step[s]) for s in steps]
    axes.fill_between(steps, lows, highs, color=color, alpha=0.15, linewidth=0)


def smoothed(values: Sequence[float]) -> tuple[float, ...]:
    """Each value becomes the mean of the last few."""
    windows = (values[max(0, at + 1 - _SMOOTH) : at + 1] for at in range(len(values)))
    return tuple(sum(window) / len(window) for window in windows)
