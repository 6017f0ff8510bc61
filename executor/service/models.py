"""Bodies of requests and answers, where they differ from the executor's own models."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from executor.models import JudgeTask, Limits, Model, Options, Script, ScriptResult, Triplet


def _decode(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a string in base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


Base64 = Annotated[
    bytes,
    PlainValidator(_decode),
    PlainSerializer(_encode, return_type=str),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
"""Bytes; in JSON a string in standard base64 (RFC 4648, section 4), with padding."""


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

    files: dict[str, Base64] = Field(default_factory=dict)
    """Files put into the working directory: relative path to content, in base64."""
    limits: Limits | None = None
    """At most those of the server."""


class RunResult(ScriptResult):
    """How a script ended. Bytes are in base64."""

    stdout: Base64 = b""
    stderr: Base64 = b""
    files: dict[str, Base64] = Field(default_factory=dict)


class RunLine(RunResult):
    """The result of one line of a batch of scripts."""

    index: int
    """Position of the line, from 0."""


class WaivedState(StrEnum):
    """What a probe that is waived came to."""

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
    """How it ended; empty if it was not tried."""


class BatchError(Model):
    """Why a batch ended before its time."""

    code: str
    message: str


class BatchEnd(Model):
    """The last line of an answer to a batch. Without it the connection was cut."""

    end: bool
    """Whether all lines of the request were answered."""
    items: int
    """Lines that were answered."""
    error: BatchError | None = None
