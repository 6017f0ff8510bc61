"""The report of an evaluation: ``report.json``, ``report.md`` and ``report.html``."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.evaluation.benchmarks import BENCHMARKS
from trainer.evaluation.plots import bars, passes
from trainer.evaluation.problems import Problem
from trainer.evaluation.prompts import Prompts
from trainer.evaluation.published import PUBLISHED
from trainer.evaluation.results import Benchmarked, averages, by_benchmark, compared
from trainer.evaluation.store import Line, Lines
from trainer.files import write_atomically
from trainer.pages import render

_HERE = Path(__file__).parent
_PAGE = _HERE / "report.html.j2"
_SCRIPT = _HERE / "browser.js"
_TEXT = _HERE / "report.md.j2"
_LONGEST = 4000
"""Characters of a text that the page shows, half of them from its end; the files have all."""
_SAMPLES = 4
"""Answers to a problem that the page shows of each model."""


@dataclass(frozen=True, slots=True)
class Side:
    """A model with what it wrote and how that was judged."""

    name: str
    """``model`` or ``base``."""
    model: str
    """Its path or name."""
    prompts: Prompts
    generations: Lines
    verdicts: Lines


def write(
    folder: Path,
    settings: Line,
    sides: Sequence[Side],
    problems: Iterable[Problem],
    wanted: Sequence[int] = (),
) -> Path:
    """Write the three files; returns the path of the page. ``wanted``: k's of pass@k."""
    found = {side.name: by_benchmark(side.verdicts) for side in sides}
    summary = _summary(settings, sides, found, wanted)
    keys = {side.name: list(_keys(side.verdicts)) for side in sides}
    write_atomically(folder / "report.json", json.dumps({**summary, "verdicts": keys}, indent=1))
    values = _values(summary, sides)
    write_atomically(folder / "report.md", render(_TEXT, _FILTERS, **values))
    script = _SCRIPT.read_text(encoding="utf-8")
    page = render(
        _PAGE,
        _FILTERS,
        **values,
        plots=_plots(summary),
        problems=_shown(problems, sides),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_atomically(folder / "report.html", page)
    return folder / "report.html"


def _summary(
    settings: Line,
    sides: Sequence[Side],
    found: Mapping[str, Mapping[str, Benchmarked]],
    wanted: Sequence[int],
) -> Line:
    summary: Line = {"settings": settings, "models": {}, "difference": {}}
    for side in sides:
        summary["models"][side.name] = {
            "model": side.model,
            "benchmarks": {name: one.as_json(wanted) for name, one in found[side.name].items()},
            "averages": {
                title: value.as_json() for title, value in averages(found[side.name]).items()
            },
        }
    if len(sides) > 1:
        difference = compared(found[sides[0].name], found[sides[1].name])
        summary["difference"] = {name: value.as_json() for name, value in difference.items()}
    summary["published"] = [row._asdict() for row in PUBLISHED]
    return summary


def _keys(verdicts: Lines) -> Iterator[Line]:
    """What names each verdict: its key, with what a replay should find."""
    for line in verdicts:
        names = ("benchmark", "id", "key", "scores", "statuses", "backend", "interpreter")
        yield {name: line[name] for name in names if name in line}


def _values(summary: Line, sides: Sequence[Side]) -> dict[str, Any]:
    names = [name for side in sides for name in summary["models"][side.name]["benchmarks"]]
    return {
        "title": " against ".join(side.model for side in sides),
        "summary": summary,
        "sides": [side.name for side in sides],
        "benchmarks": [BENCHMARKS[name] for name in dict.fromkeys(names)],
        "averages": list(summary["models"][sides[0].name]["averages"]),
        "published": PUBLISHED,
    }


def _plots(summary: Line) -> list[tuple[str, str]]:
    plots = [("Share of right answers, with intervals of 95 %", bars(summary))]
    curves = passes(summary)
    if curves is not None:
        plots.append(("pass@k", curves))
    return plots


def _shown(problems: Iterable[Problem], sides: Sequence[Side]) -> Iterator[dict[str, Any]]:
    """The problems that were judged, one after the other: the texts are not all in memory."""
    for problem in problems:
        answers = [answer for side in sides for answer in _answers(problem, side)]
        if answers:
            yield {
                "benchmark": problem.benchmark,
                "id": problem.id,
                "about": ", ".join(problem.attributes.values()),
                "prompt": shortened(sides[0].prompts.text(problem)),
                "right": any(answer["score"] == 1.0 for answer in answers),
                "answers": answers,
            }


def _answers(problem: Problem, side: Side) -> Iterator[dict[str, Any]]:
    verdict, written = side.verdicts.get(problem.key), side.generations.get(problem.key)
    if verdict is None or written is None:
        return
    for place, text in enumerate(written["texts"][:_SAMPLES]):
        yield {
            "side": side.name,
            "sample": place,
            "score": verdict["scores"][place],
            "status": verdict["statuses"][place],
            "detail": verdict["details"][place],
            "cut": bool(text.get("cut")),
            "text": shortened(text["text"]),
            "key": verdict.get("key", ""),
            "signals": ", ".join(verdict.get("signals", {})),
        }


def shortened(text: str) -> str:
    """A text without its middle, if it is long."""
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"


def _percent(value: Any) -> str:
    """A share in percent, with its interval if it has one."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return f"{100 * value:.1f}"
    text = f"{100 * value['value']:.1f}"
    if value["low"] is None:
        return text
    return f"{text} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"


def _signed(value: Any) -> str:
    text = _percent(value)
    return text if not text or text.startswith("-") else f"+{text}"


_FILTERS: dict[str, Callable[[Any], str]] = {
    "percent": _percent,
    "signed": _signed,
    "json": json.dumps,
}
