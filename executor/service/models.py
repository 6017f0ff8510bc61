"""Bodies of requests and answers, where they differ from the executor's own models."""

from __future__ import annotations

from enum import StrEnum

from executor.models import JudgeTask, Limits, Model, Options, Script, ScriptResult, Triplet


class ValidateRequest(Triplet):
    """A triplet, and settings for this call."""

    options: Options | None = None
    """Limits, rules and number of runs; at most what the server allows."""


class JudgeRequest(JudgeTask):
    """Answers to score against one task, and settings for this call."""

    options: Options | None = None
    """Limits and rules; at most what the server allows."""


class RunRequest(Script):
    """A script, and limits for this call."""

    limits: Limits | None = None
    """At most those of the server."""


class RunLine(ScriptResult):
    """The result of one line of a batch of scripts."""

    index: int
    """Position of the line, from 0."""


class WaivedState(StrEnum):
    """The result of a probe that is waived."""

    UNTRIED = "not tried yet"
    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"
    """The platform failed, or time ran out before anything was found out."""
    NOT_PROMISED = "not promised"
    """The backend does not promise it on this host."""


class WaivedProbe(Model):
    """A probe that may fail: the configuration names it."""

    name: str
    state: WaivedState = WaivedState.UNTRIED
    happened: str = ""
    """Its end; empty if it was not tried."""


class BatchError(Model):
    """The reason why a batch ended before its time."""

    code: str
    message: str


class BatchEnd(Model):
    """The last line of an answer to a batch. Without it the connection was cut."""

    end: bool
    """Whether all lines of the request were answered."""
    items: int
    """Lines that were answered."""
    error: BatchError | None = None
