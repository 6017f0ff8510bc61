"""What verdicts come to: figures by benchmark and by parts of it, averages, differences.

Code Avg is the mean of HumanEval+, MBPP+ and LiveCodeBench, Math Avg that of the six mathematical
benchmarks, Total Avg the mean of the two, as in the tables of Absolute Zero Reasoner. An average
is given only where all of its benchmarks were judged; its parts may be subsets of the problems.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.evaluation.benchmarks import BENCHMARKS
from trainer.evaluation.figures import (
    Estimate,
    differences,
    estimate,
    ks,
    pass_at_k,
    weighted,
)
from trainer.evaluation.judging import NO_ANSWER
from trainer.evaluation.store import Line

AVERAGES = {
    "Code Avg": tuple(b.name for b in BENCHMARKS.values() if b.averaged and b.group == "code"),
    "Math Avg": tuple(b.name for b in BENCHMARKS.values() if b.averaged and b.group == "math"),
}
_BROKEN_DOWN = ("difficulty", "platform", "month", "subject", "type")


@dataclass(frozen=True, slots=True)
class ProblemVerdicts:
    """A problem's verdicts, as far as figures need them."""

    benchmark: str
    id: str
    samples: int
    """Answers with a score."""
    right: int
    attributes: Mapping[str, str]

    @property
    def share(self) -> float:
        """Right answers among those with a score."""
        return self.right / self.samples


@dataclass(slots=True)
class Benchmarked:
    """All of one model on one benchmark."""

    rows: list[ProblemVerdicts] = field(default_factory=list)
    unjudged: int = 0
    """Problems of which no answer has a score."""
    answers: int = 0
    cut: int = 0
    without: int = 0
    """Answers in which there is nothing to judge."""
    weak: int = 0
    """Problems that were judged beside their answers."""
    statuses: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)

    def add(self, line: Line) -> None:
        """Count a line of the file of verdicts."""
        scores = [score for score in line["scores"] if score is not None]
        self.answers += len(line["scores"])
        self.cut += line["cut"]
        self.without += line["statuses"].count(NO_ANSWER)
        self.weak += bool(line.get("weak"))
        self.statuses.update(line["statuses"])
        self.signals.update(line.get("signals", {}))
        if not scores:
            self.unjudged += 1
            return
        right = sum(score == 1.0 for score in scores)
        self.rows.append(
            ProblemVerdicts(
                line["benchmark"], line["id"], len(scores), right, line.get("attributes", {})
            )
        )

    def shares(self) -> dict[str, float]:
        """By problem the share of right answers."""
        return {row.id: row.share for row in self.rows}

    def as_json(self, wanted: Iterable[int] = ()) -> dict[str, Any]:
        """All figures."""
        found: dict[str, Any] = {
            "problems": len(self.rows),
            "unjudged": self.unjudged,
            "answers": self.answers,
            "cut": self.cut / self.answers if self.answers else 0.0,
            "no_answer": self.without / self.answers if self.answers else 0.0,
            "weak": self.weak,
            "statuses": dict(self.statuses.most_common()),
            "signals": dict(self.signals.most_common()),
        }
        if self.rows:
            samples = min(row.samples for row in self.rows)
            found["samples"] = samples
            found["pass"] = {str(k): self._pass_at(k).as_json() for k in ks(samples, wanted)}
            found[f"avg@{samples}"] = estimate([row.share for row in self.rows]).as_json()
            found["by"] = dict(self._parts())
        return found

    def _pass_at(self, k: int) -> Estimate:
        return estimate([pass_at_k(row.samples, row.right, k) for row in self.rows])

    def _parts(self) -> Iterable[tuple[str, dict[str, Any]]]:
        for name in _BROKEN_DOWN:
            parts: dict[str, list[float]] = defaultdict(list)
            for row in self.rows:
                if name in row.attributes:
                    parts[row.attributes[name]].append(row.share)
            if len(parts) > 1:
                yield (
                    name,
                    {
                        part: {"problems": len(values), **estimate(values).as_json()}
                        for part, values in sorted(parts.items())
                    },
                )


def by_benchmark(lines: Iterable[Line]) -> dict[str, Benchmarked]:
    """The verdicts of a model, in the order of the benchmarks."""
    found: dict[str, Benchmarked] = defaultdict(Benchmarked)
    for line in lines:
        found[line["benchmark"]].add(line)
    return {name: found[name] for name in BENCHMARKS if name in found}


def averages(model: Mapping[str, Benchmarked]) -> dict[str, Estimate]:
    """The averages of which all benchmarks are there."""
    return _averages({name: list(one.shares().values()) for name, one in model.items()})


def compared(
    model: Mapping[str, Benchmarked], base: Mapping[str, Benchmarked]
) -> dict[str, Estimate]:
    """What a model has more than another one, over the problems that both were judged on."""
    paired = {
        name: list(differences(one.shares(), base[name].shares()).values())
        for name, one in model.items()
        if name in base
    }
    paired = {name: values for name, values in paired.items() if values}
    return {
        **{name: estimate(values) for name, values in paired.items()},
        **_averages(paired),
    }


def _averages(values: Mapping[str, Sequence[float]]) -> dict[str, Estimate]:
    parts = {
        title: [(1 / len(names), values[name]) for name in names]
        for title, names in AVERAGES.items()
        if all(values.get(name) for name in names)
    }
    found = {title: weighted(groups) for title, groups in parts.items()}
    if len(parts) == len(AVERAGES):
        share = 1 / len(AVERAGES)
        every = [(share * weight, group) for groups in parts.values() for weight, group in groups]
        found["Total Avg"] = weighted(every)
    return found
