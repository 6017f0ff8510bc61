"""One step of self-play.

The class :class:`SelfPlay` plays it::

    SelfPlay(settings: GameSettings, buffers: Buffers, judge: TaskJudge, count_tokens=None)
    .step(policy: Policy, step: int) -> StepResult
    .state() -> Json          # buffers and random state, for a checkpoint
    .restore(state: Json) -> None
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.game.policy import Message, Policy, Request, Response
from trainer.game.tasks import Kind

__all__ = ["Message", "Policy", "Request", "Response", "Sample", "StepResult"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A response that is trained on, with its reward."""

    response: Response
    kind: Kind
    reward: float
    """0 if masked."""
    masked: bool = False
    """Never scored (the platform failed): leave it out of baselines and of the loss."""
    advantage: float = 0.0
    """TRR++ advantage within this step's samples of the same kind."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What happened to it, for tables: status, format, accuracy..."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step of self-play gives to the optimizer and to people."""

    samples: tuple[Sample, ...]
    """In AZR's order of kinds, within a kind in the order of the prompts."""
    metrics: Mapping[str, float]
    tables: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """Rows of JSON values for people: ``proposals`` and ``answers``."""
