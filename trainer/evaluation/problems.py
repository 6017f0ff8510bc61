"""A problem of a benchmark: what is asked, and what an answer is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from executor import JudgeTask

type Kind = Literal["program", "input", "output", "math"]
"""What is wanted: a program, an input or an output of a program, or a mathematical result."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. It holds texts only; its tests are unpacked when they are needed."""

    benchmark: str
    id: str
    kind: Kind
    question: str
    """What the model is asked, without what stands around every question."""
    fields: Callable[[], Mapping[str, Any]]
    """The fields of its :class:`executor.JudgeTask`, but for the answers."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What figures are broken down by: ``difficulty``, ``platform``, ``month``, ``subject``..."""
    entry_point: str | None = None
    """What a program must define, where that is a function."""
    head: str = ""
    """The beginning of a program, where an answer may be its continuation."""

    @property
    def key(self) -> tuple[str, str]:
        """Benchmark and id: no other problem has both."""
        return self.benchmark, self.id

    def task(self, answers: Sequence[str]) -> JudgeTask:
        """The task that judges answers to it."""
        return JudgeTask.model_validate(
            {**self.fields(), "answers": tuple(answers), "id": f"{self.benchmark}/{self.id}"}
        )
