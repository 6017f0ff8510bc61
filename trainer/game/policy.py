"""The seam between the game and the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from trainer.game.tasks.task import Kind


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
    """The model's text, special tokens left out."""
    tokens: int
    """Tokens of the response: TRR++'s weight, and for metrics."""
    handle: object = None
    """The adapter's own; the game only hands it back."""
    truncated: bool = False
    """The length limit ended it."""


class Further(Protocol):
    """Requests that become known while others are being answered."""

    @property
    def complete(self) -> bool:
        """Whether no more will become known, unless by further responses."""
        ...

    def take(self) -> Sequence[Request]:
        """Those that are known and were not taken yet, in an order of their own; does not wait."""
        ...

    def wait(self, timeout_s: float | None = None) -> None:
        """Until one more becomes known, or the time is over; not at all if complete."""
        ...


class Policy(Protocol):
    """A model that answers prompts."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield samples as they finish, in any order. A sample that failed is simply missing."""
        ...


@runtime_checkable
class StreamingPolicy(Policy, Protocol):
    """One that can take up requests while it answers others."""

    def stream(self, requests: Sequence[Request], further: Further) -> Iterator[Response]:
        """As :meth:`generate`, with the further requests in it as soon as they are known."""
        ...


def answer_all(policy: Policy, requests: Sequence[Request], further: Further) -> Iterator[Response]:
    """Samples of the requests, and of the further ones that become known meanwhile.

    A policy that does not stream gets the further ones together, when all of them are known.
    """
    if isinstance(policy, StreamingPolicy):
        yield from policy.stream(requests, further)
        return
    yield from policy.generate(requests)
    while True:
        while not further.complete:
            further.wait()
        taken = further.take()
        if not taken:
            return
        yield from policy.generate(taken)
