"""Roles, task types, and the tasks that are proposed and solved.

Names: AZR calls abduction ``code_i``, deduction ``code_o``, induction ``code_f`` and error
deduction ``code_e``; a proposer's batch is ``gen_...`` and a solver's ``pred_...``. Those names
stay in configuration, files and metrics.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple, Self

from executor import TaskType

__all__ = [
    "ALL_KINDS",
    "AZR_NAMES",
    "TASK_ORDER",
    "InductionTask",
    "Kind",
    "MalformedTask",
    "ProgramTask",
    "Role",
    "Task",
    "TaskType",
    "normal_source",
    "task_from_json",
]

type Json = Any
"""Values that :mod:`json` reads and writes."""


class Role(StrEnum):
    """The side of the game that a sample is on."""

    PROPOSE = "propose"
    SOLVE = "solve"


AZR_NAMES: Mapping[TaskType, str] = {
    TaskType.ABDUCTION: "code_i",
    TaskType.DEDUCTION: "code_o",
    TaskType.ERROR: "code_e",
    TaskType.INDUCTION: "code_f",
}
"""AZR's name of each task type."""

TASK_ORDER = tuple(AZR_NAMES)
"""The order in which a step goes through the task types (AZR's)."""

_PREFIXES = {Role.PROPOSE: "gen", Role.SOLVE: "pred"}


class Kind(NamedTuple):
    """A role and a task type: each pair has prompts, rewards and a TRR++ baseline of its own."""

    role: Role
    task: TaskType

    @property
    def name(self) -> str:
        """AZR's name: ``gen_code_i``, ``pred_code_o``..."""
        return f"{_PREFIXES[self.role]}_{AZR_NAMES[self.task]}"

    @property
    def tag(self) -> str:
        """``propose-abduction``...: the start of a sample's uid, without an underscore."""
        return f"{self.role.value}-{self.task.value}"

    @classmethod
    def of(cls, name: str) -> Self:
        """The kind of an AZR name, of a tag, or of a uid that starts with a tag.

        Raises:
            ValueError: it is none of these.
        """
        for kind in ALL_KINDS:
            if name in (kind.name, kind.tag) or name.startswith(f"{kind.tag}-"):
                return cls(kind.role, kind.task)
        raise ValueError(f"{name!r} names no role and task type")


ALL_KINDS = tuple(Kind(role, task) for task in TASK_ORDER for role in Role)
"""All eight kinds in AZR's order: proposer before solver, task by task."""


class MalformedTask(ValueError):
    """A row that is no task; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class ProgramTask:
    """A program with one input and its output: deduction, abduction and error deduction.

    For error deduction ``output`` is the exception's type name, or ``NoError``.
    """

    snippet: str
    """The whole program, its imports included; defines ``f``."""
    input: str
    """The text between the parentheses of the call of ``f``."""
    output: str
    """Literal text of the value, as the executor writes it."""
    imports: tuple[str, ...] = ()
    """Import lines of the snippet, for expressions that stand outside it."""
    original_snippet: str = ""
    """The model's own part, without the functions it was given (composite tasks)."""
    composite_functions: tuple[str, ...] = ()
    """Sources of the functions ``g_0``... that the program builds on."""
    step: int = 0
    """Training step that made the task; 0 for seeds."""
    input_type: str = ""
    """Name of the input's type, for statistics; ``""`` while unknown."""
    output_type: str = ""

    def __post_init__(self) -> None:
        if not self.original_snippet:
            object.__setattr__(self, "original_snippet", self.snippet)

    @property
    def key(self) -> str:
        """Equal for tasks that are duplicates of each other: same program and input."""
        return _digest(normal_source(self.snippet), self.input.strip())

    def at_step(self, step: int) -> Self:
        """The same task, made at another step."""
        return replace(self, step=step)

    def to_json(self) -> dict[str, Json]:
        """A row in AZR's schema of seed files, plus ``step``."""
        row: dict[str, Json] = {
            "snippet": self.snippet,
            "input": self.input,
            "output": self.output,
            "imports": list(self.imports),
            "original_snippet": self.original_snippet,
            "composite_functions": list(self.composite_functions),
        }
        if self.input_type:
            row["_input_type"] = self.input_type
        if self.output_type:
            row["_output_type"] = self.output_type
        return row | {"step": self.step}


@dataclass(frozen=True, slots=True)
class InductionTask:
    """A program shown only by input/output pairs and a message."""

    snippet: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """One for each input."""
    message: str
    imports: tuple[str, ...] = ()
    step: int = 0
    input_types: tuple[str, ...] = ()
    output_types: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Equal for tasks that are duplicates: same program, inputs and message."""
        inputs = (text.strip() for text in self.inputs)
        return _digest(normal_source(self.snippet), self.message.strip(), *inputs)

    @property
    def given(self) -> tuple[tuple[str, str], ...]:
        """The pairs that the solver sees: the first half, rounded down."""
        return self._pairs[: len(self.inputs) // 2]

    @property
    def hidden(self) -> tuple[tuple[str, str], ...]:
        """The pairs that the solver is judged on."""
        return self._pairs[len(self.inputs) // 2 :]

    @property
    def _pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple(zip(self.inputs, self.outputs, strict=True))

    def at_step(self, step: int) -> Self:
        """The same task, made at another step."""
        return replace(self, step=step)

    def to_json(self) -> dict[str, Json]:
        """A row in AZR's schema of seed files, plus ``step``."""
        row: dict[str, Json] = {
            "snippet": self.snippet,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "message": self.message,
            "imports": list(self.imports),
        }
        if self.input_types:
            row["_input_types"] = list(self.input_types)
        if self.output_types:
            row["_output_types"] = list(self.output_types)
        return row | {"step": self.step}


type Task = ProgramTask | InductionTask


def task_from_json(row: object) -> Task:
    """Read a row of AZR's schema; keys that are not part of it are passed over.

    Raises:
        MalformedTask: a key is missing or has the wrong type.
    """
    if not isinstance(row, dict):
        raise MalformedTask(f"a task is a JSON object, not {type(row).__name__}")
    if "inputs" not in row:
        return ProgramTask(
            snippet=_text(row, "snippet"),
            input=_text(row, "input"),
            output=_text(row, "output"),
            imports=_texts(row, "imports", default=()),
            original_snippet=_text(row, "original_snippet", default=""),
            composite_functions=_texts(row, "composite_functions", default=()),
            step=_step(row),
            input_type=_text(row, "_input_type", default=""),
            output_type=_text(row, "_output_type", default=""),
        )
    inputs, outputs = _texts(row, "inputs"), _texts(row, "outputs")
    if len(inputs) != len(outputs) or len(inputs) < 2:
        raise MalformedTask(
            f"{len(inputs)} inputs and {len(outputs)} outputs: want as many, and two or more"
        )
    return InductionTask(
        snippet=_text(row, "snippet"),
        inputs=inputs,
        outputs=outputs,
        message=_text(row, "message"),
        imports=_texts(row, "imports", default=()),
        step=_step(row),
        input_types=_texts(row, "_input_types", default=()),
        output_types=_texts(row, "_output_types", default=()),
    )


def _text(row: Mapping[str, Json], key: str, *, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        raise MalformedTask(f"{key!r} is {_what(row, key)}, not a text")
    return value


def _texts(
    row: Mapping[str, Json], key: str, *, default: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    value = row.get(key, default)
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise MalformedTask(f"{key!r} is {_what(row, key)}, not a list of texts")
    return tuple(value)


def _step(row: Mapping[str, Json]) -> int:
    value = row.get("step", 0)
    if type(value) is not int or value < 0:
        raise MalformedTask(f"'step' is {value!r}, not a count")
    return value


def _what(row: Mapping[str, Json], key: str) -> str:
    return type(row[key]).__name__ if key in row else "missing"


def normal_source(source: str) -> str:
    """The source without what nobody sees: spaces at the ends of lines, empty lines around."""
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
