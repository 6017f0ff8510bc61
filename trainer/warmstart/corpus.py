"""Generated programs become tasks: the executor says what they return, and which are sound."""

from __future__ import annotations

import ast
import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from executor import Triplet, Verdict
from trainer.game.tasks.task import (
    AZR_NAMES,
    InductionTask,
    Kind,
    ProgramTask,
    Role,
    Task,
    TaskType,
)
from trainer.warmstart.programs import LEVELS, Generated, generate
from trainer.warmstart.settings import CorpusSettings

TASK_TYPES = (TaskType.ABDUCTION, TaskType.DEDUCTION, TaskType.INDUCTION)
_LONGEST_OUTPUT = 24
"""Characters; longer outputs are for larger models."""


class Validator(Protocol):
    """The part of :class:`executor.SyncExecutor` that is used here."""

    def validate_many(self, triplets: Iterable[Triplet]) -> Iterator[Verdict]:
        """Validate in order."""
        ...


@dataclass(frozen=True, slots=True)
class Sound:
    """A program that the executor found sound, with what it returns."""

    source: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    between: tuple[tuple[str, ...], ...]
    """For each input, what lies between the steps."""
    hint: str
    steps: tuple[str, ...]
    level: int

    def program_task(self, at: int) -> ProgramTask:
        """The program with one of its inputs."""
        return ProgramTask(self.source, self.inputs[at], self.outputs[at])

    def induction_task(self, chosen: Sequence[int]) -> InductionTask:
        """The program with some of its inputs."""
        return InductionTask(
            self.source,
            tuple(self.inputs[at] for at in chosen),
            tuple(self.outputs[at] for at in chosen),
            self.hint,
        )


@dataclass(frozen=True, slots=True)
class Corpus:
    """Programs to learn from, and programs to be tested on; no source is in both."""

    training: tuple[Sound, ...]
    held_out: tuple[Sound, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A held-out task."""

    task_type: TaskType
    level: int
    task: Task

    @property
    def source(self) -> str:
        """Its name in metrics: ``code_o_level1``..."""
        return f"{AZR_NAMES[self.task_type]}_level{self.level}"

    def to_json(self) -> dict[str, Any]:
        """Row of a file for ``data.val_files``."""
        row = self.task.to_json()
        return {
            "data_source": self.source,
            "problem": row.pop("snippet"),
            "extra_info": row | {"metric": Kind(Role.SOLVE, self.task_type).name},
        }


def make_corpus(settings: CorpusSettings, validator: Validator) -> Corpus:
    """Generate, let the executor compute the outputs, and split by content hash."""
    drawn = list(
        islice(generate(settings.seed, settings.inputs, settings.levels), settings.programs)
    )
    verdicts = validator.validate_many(
        Triplet(program=source, inputs=one.inputs)
        for one in drawn
        for source in (*one.stages, one.source)
    )
    sound = [
        made for one in drawn if (made := _sound(one, list(islice(verdicts, len(one.stages) + 1))))
    ]
    training: list[Sound] = []
    held_out: list[Sound] = []
    for one in sound:
        share = _share_of(one.source, settings.split)
        (held_out if share < settings.held_out_share else training).append(one)
    return Corpus(tuple(training), tuple(held_out))


def _sound(one: Generated, verdicts: Sequence[Verdict]) -> Sound | None:
    """Pair a program with the values of its stages and, last, its own; None if one is not sound."""
    found = [_outputs(one, verdict) for verdict in verdicts]
    if not all(found):
        return None
    *stages, outputs = found
    between = tuple(zip(*stages, strict=True)) if stages else ((),) * len(outputs)
    return Sound(one.source, one.inputs, outputs, between, one.hint, one.steps, one.level)


def _outputs(one: Generated, verdict: Verdict) -> tuple[str, ...]:
    """Output texts of a verdict; none at all if one is missing or too long."""
    outputs = tuple(text for text in verdict.outputs if text is not None)
    whole = verdict.valid and len(outputs) == len(one.inputs)
    return outputs if whole and max(map(len, outputs)) <= _LONGEST_OUTPUT else ()


def _share_of(source: str, split: str) -> float:
    """A number from 0 to 1 that depends on the program alone, whatever its parameters' names."""
    text = f"{split}\n{renamed(source)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def renamed(source: str) -> str:
    """The program with its parameters called alike: the same text for programs that differ in
    names only."""
    tree = ast.parse(source)
    parameters = [node for node in ast.walk(tree) if isinstance(node, ast.arg)]
    names = {parameter.arg: f"v{at}" for at, parameter in enumerate(parameters)}
    for parameter in parameters:
        parameter.arg = names[parameter.arg]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.unparse(tree)


def held_out_problems(
    corpus: Corpus, settings: CorpusSettings, num_inputs: int
) -> tuple[Problem, ...]:
    """Make the test set: ``settings.held_out`` tasks of each type and level, no task twice.

    Fewer where there are not so many. For induction the pairs must tell something: outputs that
    are all the same are left out.
    """
    rng = random.Random(settings.seed)
    problems: list[Problem] = []
    for task_type in TASK_TYPES:
        for level in LEVELS:
            tasks = list(_tasks(corpus.held_out, task_type, level, num_inputs, rng))
            rng.shuffle(tasks)
            problems += [Problem(task_type, level, task) for task in tasks[: settings.held_out]]
    return tuple(problems)


def _tasks(
    programs: Sequence[Sound], task_type: TaskType, level: int, num_inputs: int, rng: random.Random
) -> Iterator[Task]:
    for one in programs:
        if one.level != level or len(one.inputs) < num_inputs:
            continue
        chosen = rng.sample(range(len(one.inputs)), num_inputs)
        if task_type is not TaskType.INDUCTION:
            yield from (one.program_task(at) for at in chosen[:2])
        elif len({one.outputs[at] for at in chosen}) > 1:
            yield one.induction_task(chosen)


def write(corpus: Corpus, folder: Path) -> None:
    """Keep a corpus in a folder."""
    for name in ("training", "held_out"):
        rows = (
            {key: getattr(one, key) for key in Sound.__slots__} for one in getattr(corpus, name)
        )
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"programs_{name}.jsonl").write_text(text, encoding="utf-8")


def read(folder: Path) -> Corpus:
    """The corpus of a folder."""
    return Corpus(*(tuple(_read(folder / f"programs_{n}.jsonl")) for n in ("training", "held_out")))


def _read(path: Path) -> Iterator[Sound]:
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Sound(**{key: _tuples(value) for key, value in row.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
