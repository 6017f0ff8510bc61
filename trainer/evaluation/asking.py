"""Asking a model all problems, so that a killed evaluation goes on and ends as another one would.

Problems are asked in groups that are always the same, and each sample has a seed of its own. So
what a model answers does not depend on when it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Protocol

from trainer.evaluation.problems import Problem
from trainer.evaluation.prompts import Prompts, digest
from trainer.evaluation.store import Line, Lines
from trainer.models.seeds import seed_of


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is sampled."""

    n: int = 1
    """Answers to each problem."""
    temperature: float = 0.0
    """0: the likeliest token each time."""
    top_p: float = 1.0
    max_tokens: int = 8192
    """Tokens of an answer at most."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt with the seeds of the samples that are wanted of it."""

    text: str
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """One answer of a model."""

    text: str
    tokens: int | None
    cut: bool
    """A limit of length ended it."""


class Engine(Protocol):
    """Something that answers prompts."""

    together: int
    """Prompts that are handed over at a time."""

    def generate(self, asks: Sequence[Ask]) -> Iterator[tuple[int, list[Written]]]:
        """Yield the place of a prompt with all of its samples, in any order.

        Raises:
            EvaluationError: it cannot go on.
        """
        ...


def ask(
    problems: Iterable[Problem],
    prompts: Prompts,
    sampling: Sampling,
    engine: Engine,
    *,
    generations: Lines,
    note: Callable[[int], None] = lambda _: None,
) -> None:
    """Ask all problems that have no line in ``generations`` yet. ``note`` is told of those done."""
    for group in batched(problems, engine.together):
        missing = [problem for problem in group if problem.key not in generations]
        if not missing:
            continue
        asks = [
            Ask(prompts.text(problem), _seeds(problem, sampling)) for problem in group
        ]  # all of the group: what else is in a batch may change an answer's last bits
        for place, texts in engine.generate(asks):
            problem = group[place]
            if problem.key in generations:
                continue
            generations.append([_line(problem, asks[place].text, texts)])
            note(1)


def _seeds(problem: Problem, sampling: Sampling) -> tuple[int, ...]:
    return tuple(
        seed_of(f"{sampling.seed}/{problem.benchmark}/{problem.id}/{sample}")
        for sample in range(sampling.n)
    )


def _line(problem: Problem, prompt: str, texts: Sequence[Written]) -> Line:
    return {
        "benchmark": problem.benchmark,
        "id": problem.id,
        "prompt": digest(prompt),
        "texts": [{"text": text.text, "tokens": text.tokens, "cut": text.cut} for text in texts],
    }
