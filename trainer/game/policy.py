"""The seam between the game and the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainer.game.tasks import Kind


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: str
    """``user`` or ``system``."""
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt to sample from."""

    id: str
    """Unique within a step."""
    kind: Kind
    messages: tuple[Message, ...]
    n: int = 1
    """Samples wanted."""
    train: bool = True
    """Whether the samples are trained on; learnability estimates and seeds are not."""
    temperature: float | None = None
    """``None``: that of training rollouts."""


@dataclass(frozen=True, slots=True)
class Response:
    """One sample of a request."""

    request_id: str
    sample: int
    """0 to n - 1."""
    text: str
    """What the model wrote, special tokens left out."""
    tokens: int
    """Tokens of the response: TRR++'s weight, and for metrics."""
    handle: object = None
    """The adapter's own; the game only hands it back."""
    truncated: bool = False
    """The length limit ended it."""


class Policy(Protocol):
    """A model that answers prompts."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield samples as they finish, in any order. A sample that failed is simply missing."""
        ...
