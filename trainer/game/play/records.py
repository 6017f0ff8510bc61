"""Records of what a step finds out about each response."""

from __future__ import annotations

from dataclasses import dataclass, field

from trainer.game.play.drawing import Prompt
from trainer.game.play.judging import Examined
from trainer.game.policy import Response


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer with its score."""

    response: Response
    solution: str
    """The text that was judged; empty if there was nothing to judge."""
    score: float | None
    """0 to 1; ``None`` where the platform failed."""
    status: str
    """``malformed``, or a status of the executor."""
    detail: str


@dataclass(slots=True)
class ProposalRecord:
    """A proposer's response."""

    prompt: Prompt
    response: Response
    well_formed: bool
    examined: Examined
    estimates: list[Scored] = field(default_factory=list)
    """The solver's answers to it."""
    solve_rate: float | None = None
    """Mean score of the answers that have one; ``None`` while there is none."""
    learnability: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    """Intrinsic rewards, before coefficient and bound."""
    reward: float = 0.0
    trained_reward: float = 0.0
    """The reward, unless rewards are shuffled for a control experiment."""
    masked: bool = False
    advantage: float = 0.0
    storable: bool = True
    stored: bool = False
    duplicate: bool = False

    @property
    def valid(self) -> bool:
        """The executor found it a sound task."""
        return self.examined.task is not None


@dataclass(slots=True)
class AnswerRecord:
    """A solver's response that is trained on."""

    prompt: Prompt
    response: Response
    well_formed: bool
    scored: Scored
    reward: float = 0.0
    trained_reward: float = 0.0
    """The reward, unless rewards are shuffled for a control experiment."""
    masked: bool = False
    advantage: float = 0.0


type Record = ProposalRecord | AnswerRecord
