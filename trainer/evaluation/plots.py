"""Plots of an evaluation, as ``data:`` URLs of SVG images."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

type Summary = dict[str, Any]


def bars(summary: Summary) -> str:
    """pass@1 by benchmark, the models side by side."""
    models = summary["models"]
    names = list(dict.fromkeys(name for model in models.values() for name in model["benchmarks"]))

    def plot(axes: Any) -> None:
        width = 0.8 / len(models)
        for number, (side, model) in enumerate(models.items()):
            known = [
                (place, model["benchmarks"][name]["pass"]["1"])
                for place, name in enumerate(names)
                if "pass" in model["benchmarks"].get(name, {})
            ]
            places = [place + number * width for place, _ in known]
            heights = [100 * value["value"] for _, value in known]
            lows = [100 * (value["value"] - _or(value, "low")) for _, value in known]
            highs = [100 * (_or(value, "high") - value["value"]) for _, value in known]
            axes.bar(places, heights, width, yerr=[lows, highs], capsize=2, label=side)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set_ylim(0, 100)
        axes.set_ylabel("%")

    return _drawn(plot, max(6.2, 0.8 * len(names)))


def passes(summary: Summary) -> str | None:
    """pass@k over k; ``None`` if there is one answer to each problem only."""
    curves = [
        (f"{side}, {name}", {int(k): v["value"] for k, v in found.get("pass", {}).items()})
        for side, model in summary["models"].items()
        for name, found in model["benchmarks"].items()
    ]
    curves = [(label, curve) for label, curve in curves if len(curve) > 1]
    if not curves:
        return None

    def plot(axes: Any) -> None:
        for label, curve in curves:
            axes.plot(list(curve), [100 * value for value in curve.values()], "o-", label=label)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("k")
        axes.set_ylabel("%")

    return _drawn(plot, 6.2)


def _or(value: dict[str, float | None], bound: str) -> float:
    found = value[bound]
    return (value["value"] or 0.0) if found is None else found


def _drawn(plot: Callable[[Any], None], width: float) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "report", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(width, 3.4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        plot(axes)
        axes.grid(alpha=0.3, axis="y")
        axes.legend(fontsize=7, framealpha=0.7)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
