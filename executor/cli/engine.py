"""From options to an executor: the one place where the command line makes one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from executor.models import JUDGE_RULES, Limits, Rules

if TYPE_CHECKING:
    from executor.api import Executor


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the executor is made from."""

    backend: str
    workers: int | None
    """``None``: as many as there are cores."""
    limits: Limits
    rules: Rules = field(default_factory=Rules)
    judge_rules: Rules = JUDGE_RULES
    runs: int = 2
    """Fresh processes that must agree on a value."""


def create_executor(options: EngineOptions) -> Executor:
    """Make an executor; it starts when it is entered.

    Raises:
        ConfigurationError: the options cannot work.
    """
    from executor.api import Executor  # noqa: PLC0415 - help and usage errors need no backend

    return Executor(
        options.backend,
        workers=options.workers,
        limits=options.limits,
        rules=options.rules,
        judge_rules=options.judge_rules,
        runs=options.runs,
    )
