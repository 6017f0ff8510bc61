"""Between the process that a user started and the one that trains: lines out, a stop in.

A Ray actor, because the two may be on different machines.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ray

_ASK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Updates:
    """Lines and progress of the trainer."""

    lines: tuple[str, ...]
    done: int
    """Steps that are trained."""
    total: int
    """0 until it is known."""


@ray.remote(num_cpus=0)
class MailboxActor:
    """Keeps lines until they are polled."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._done = 0
        self._total = 0
        self._stop = False

    def say(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)

    def progress(self, done: int, total: int) -> None:
        """Set how far the training is."""
        self._done, self._total = done, total

    def poll(self) -> Updates:
        """Everything that came in since the last call."""
        lines, self._lines = tuple(self._lines), []
        return Updates(lines, self._done, self._total)

    def stop(self) -> None:
        """Ask the trainer to stop."""
        self._stop = True

    def stopping(self) -> bool:
        """Whether the user has asked the trainer to stop."""
        return self._stop


class Mailbox:
    """The trainer's side of the actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._asked = 0.0

    def say(self, line: str) -> None:
        """Show a line to the user."""
        self._actor.say.remote(line)

    def progress(self, done: int, total: int) -> None:
        """Move the progress bar."""
        self._actor.progress.remote(done, total)

    def stopping(self) -> bool:
        """Whether the user asked the run to stop. Cheap: asks twice a second at most."""
        now = time.monotonic()
        if now - self._asked < _ASK_EVERY_S:
            return False
        self._asked = now
        return bool(ray.get(self._actor.stopping.remote()))
