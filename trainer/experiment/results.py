"""The numbers of an experiment, read from its run directories."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

from trainer.experiment.arms import NO_UPDATES, Arm
from trainer.experiment.intervals import Interval, over_seeds, over_tasks
from trainer.experiment.plan import Plan, runs
from trainer.experiment.running import attempts
from trainer.report.run_files import NoRun, RunFiles, read_run

TYPES: Mapping[str, str] = {"code_o": "deduction", "code_i": "abduction", "code_f": "induction"}
_SCORE = re.compile(r"val/(test|sampled)_score/(code_[iof])_level(\d)")
type How = Literal["test", "sampled"]
"""Kinds of answers: the likeliest ones, or samples at temperature 1."""
_ENDS = 10
"""Steps at the start and at the end whose means stand for "before" and "after"."""

type Values = Mapping[str, float]
type Measure = Callable[[Values], float | None]


@dataclass(frozen=True, slots=True)
class Result:
    """Measurements of a run so far."""

    arm: Arm
    seed: int
    files: RunFiles
    seconds: float
    """All starts together."""

    def series(self, measure: Measure) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The steps where a measure has a value, and the values."""
        found = [
            (step, value)
            for step, values in zip(self.files.steps, self.files.metrics, strict=True)
            if (value := measure(values)) is not None
        ]
        return tuple(step for step, _ in found), tuple(value for _, value in found)


def read(plan: Plan) -> tuple[Result, ...]:
    """All runs that have begun."""
    return tuple(_read(plan))


def _read(plan: Plan) -> Iterator[Result]:
    for run in runs(plan):
        try:
            files = read_run(run.folder)
        except NoRun:
            continue
        if files.steps:
            seconds = sum(attempt.seconds for attempt in attempts(run))
            yield Result(run.arm, run.seed, files, seconds)


# -- Measures -------------------------------------------------------------------------------------


def held_out(values: Values, how: How = "test") -> float | None:
    """Accuracy on held-out tasks: mean over task types, within a type over levels."""
    scores = [held_out_of(kind, how=how)(values) for kind in TYPES]
    known = [score for score in scores if score is not None]
    return fmean(known) if len(known) == len(TYPES) else None


def held_out_sampled(values: Values) -> float | None:
    """:func:`held_out` of samples at temperature 1."""
    return held_out(values, "sampled")


def held_out_of(kind: str, level: int | None = None, how: How = "test") -> Measure:
    """Accuracy on held-out tasks of a type, or of a type and level."""

    def measure(values: Values) -> float | None:
        found = [
            value
            for name, value in values.items()
            if (match := _SCORE.fullmatch(name))
            and match[1] == how
            and match[2] == kind
            and level in (None, int(match[3]))
        ]
        return fmean(found) if found else None

    return measure


def mean_of(pattern: str) -> Measure:
    """The mean of all metrics whose whole name a pattern matches."""
    compiled = re.compile(pattern)

    def measure(values: Values) -> float | None:
        found = [value for name, value in values.items() if compiled.fullmatch(name)]
        return fmean(found) if found else None

    return measure


def sum_of(pattern: str) -> Measure:
    """The sum of all metrics whose whole name a pattern matches."""
    compiled = re.compile(pattern)

    def measure(values: Values) -> float | None:
        found = [value for name, value in values.items() if compiled.fullmatch(name)]
        return sum(found) if found else None

    return measure


VALID = mean_of(r"gen_code_\w/valid_rate")
LEARNABILITY = mean_of(r"gen_code_\w/learnability")
TRAINING_ACCURACY = mean_of(r"pred_code_\w/accuracy")
HACKS = sum_of(r"executor/(suspicious|signals)/\w+")


# -- The table of arms ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of an arm on the held-out tasks, by greedy answers or by samples."""

    start: float
    """Before training."""
    end: Interval
    """And after it, over seeds."""
    end_over_tasks: Interval
    """The same for the choice of held-out tasks (mean of the runs' scores)."""
    gain: Interval | None
    """End minus the end of the arm without updates, paired by seed."""
    by_type: Mapping[str, Interval]
    by_level: Mapping[str, float]
    """Mean at the end by type and level: ``code_o level 1``..."""


@dataclass(frozen=True, slots=True)
class ArmRow:
    """An arm in the table."""

    arm: Arm
    seeds: int
    greedy: Accuracy
    sampled: Accuracy | None
    """``None``: the runs did not sample (``azr.validation_samples=0``)."""
    valid: tuple[float, float]
    """Share of valid proposals in the first and in the last steps."""
    learnability: tuple[float, float]
    hacks: float
    """Suspicious outcomes of all steps, mean over runs."""
    step_s: float
    """Median seconds of a step."""
    total_s: float
    """Mean seconds of a run, its start included."""


def table(results: Sequence[Result], tasks: int) -> tuple[ArmRow, ...]:
    """A row for each arm; ``tasks`` is the number of held-out tasks of a type and level.

    Only runs that got to the last step of the longest run count.
    """
    last = max((result.series(held_out)[0] or (0,))[-1] for result in results)
    complete = [r for r in results if (r.series(held_out)[0] or (0,))[-1] == last]
    arms = list(dict.fromkeys(result.arm for result in complete))
    base = [result for result in complete if result.arm == NO_UPDATES]
    return tuple(_row(arm, [r for r in complete if r.arm == arm], base, tasks) for arm in arms)


def _row(arm: Arm, own: Sequence[Result], base: Sequence[Result], tasks: int) -> ArmRow:
    sampled = all(result.series(held_out_sampled)[1] for result in own)
    return ArmRow(
        arm=arm,
        seeds=len(own),
        greedy=_accuracy(own, base, tasks, "test"),
        sampled=_accuracy(own, base, tasks, "sampled") if sampled else None,
        valid=_ends(own, VALID),
        learnability=_ends(own, LEARNABILITY),
        hacks=fmean(sum(result.series(HACKS)[1]) for result in own),
        step_s=fmean(_median(result.series(mean_of("timing_s/step"))[1]) for result in own),
        total_s=fmean(result.seconds for result in own),
    )


def _accuracy(own: Sequence[Result], base: Sequence[Result], tasks: int, how: How) -> Accuracy:
    overall: Measure = held_out if how == "test" else held_out_sampled
    ends = {result.seed: result.series(overall)[1][-1] for result in own}
    compared = {result.seed: result.series(overall)[1][-1] for result in base}
    gains = [end - compared[seed] for seed, end in ends.items() if seed in compared]
    by_type = {
        kind: over_seeds([result.series(held_out_of(kind, how=how))[1][-1] for result in own])
        for kind in TYPES
    }
    by_level = {
        f"{kind} level {level}": fmean(
            result.series(held_out_of(kind, level, how))[1][-1] for result in own
        )
        for kind in TYPES
        for level in (1, 2, 3)
    }
    return Accuracy(
        start=fmean(result.series(overall)[1][0] for result in own),
        end=over_seeds(list(ends.values())),
        end_over_tasks=over_tasks(list(by_level.values()), tasks),
        gain=over_seeds(gains) if gains else None,
        by_type=by_type,
        by_level=by_level,
    )


def _ends(own: Sequence[Result], measure: Measure) -> tuple[float, float]:
    series = [result.series(measure)[1] for result in own]
    filled = [values for values in series if values]
    if not filled:
        return 0.0, 0.0
    return (
        fmean(fmean(values[:_ENDS]) for values in filled),
        fmean(fmean(values[-_ENDS:]) for values in filled),
    )


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def as_json(rows: Sequence[ArmRow]) -> list[dict[str, Any]]:
    """The table for a file."""
    return [{**asdict(row), "arm": row.arm.name} for row in rows]


_CURVES: Mapping[str, Measure] = {
    "held_out": held_out,
    "held_out_sampled": held_out_sampled,
    **{f"held_out_{name}": held_out_of(kind) for kind, name in TYPES.items()},
    **{f"held_out_sampled_{n}": held_out_of(kind, how="sampled") for kind, n in TYPES.items()},
    "valid": VALID,
    "learnability": LEARNABILITY,
    "training_accuracy": TRAINING_ACCURACY,
}


def curves(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Measurements of each run, for a file: by name the steps and the values."""
    found = []
    for result in results:
        series = {name: result.series(measure) for name, measure in _CURVES.items()}
        rounded = {
            name: {"steps": list(steps), "values": [round(value, 4) for value in values]}
            for name, (steps, values) in series.items()
        }
        found.append({"arm": result.arm.name, "seed": result.seed, "curves": rounded})
    return found
