"""Requests and answers of SandboxFusion's API, field by field.

Requests are read as the original reads them: unknown keys are ignored, ``"10"`` is a number.
Answers have exactly its fields, so that strict clients can read them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from executor.service.fusion.languages import Language


class RequestBody(BaseModel):
    """Base of requests."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ResponseBody(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds a lone surrogate, which has no UTF-8") from None
    return text


Text = Annotated[str, AfterValidator(_encodable)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RunCodeRequest(RequestBody):
    """A program to run once."""

    language: Language
    """``python``, ``pytest`` and ``bash`` are run here."""
    code: Text
    compile_timeout: float = 10.0
    """Without meaning here: none of the languages is compiled."""
    run_timeout: Seconds = 10.0
    """Wall-clock seconds; at most the server's own limit."""
    cpu_timeout: Annotated[int, Field(ge=1)] | None = None
    """Seconds of processor time, which the original does not limit; at most the server's own limit.
    ``null``: the server's limit."""
    memory_limit_MB: int = -1
    """MiB of memory; at most the server's own limit. 0 or less: the server's limit."""
    stdin: Text | None = None
    files: dict[Text, str | None] = Field(default_factory=dict)
    """Relative path to content in base64. ``null`` is left out."""
    fetch_files: list[Text] = Field(default_factory=list)
    """Relative paths of files to bring back. What is not there is left out."""
    args: list[Text] = Field(default_factory=list)
    """Additional arguments for pytest."""


class RunJupyterRequest(RequestBody):
    """Cells to run in order, in one fresh kernel."""

    cells: list[Text]
    cell_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Wall-clock seconds for each cell. 0: only ``total_timeout`` counts."""
    total_timeout: Seconds = 45.0
    """Wall-clock seconds for all cells; at most the server's own limit."""
    memory_limit_MB: int = -1
    """As in :class:`RunCodeRequest`."""
    kernel: Literal["python3"] = "python3"
    files: dict[Text, str | None] = Field(default_factory=dict)
    fetch_files: list[Text] = Field(default_factory=list)


class RunStatus(StrEnum):
    """The end of a request."""

    SUCCESS = "Success"
    FAILED = "Failed"
    SANDBOX_ERROR = "SandboxError"
    """It could not be run. Says nothing about the program; clients repeat the request."""


class CommandStatus(StrEnum):
    """The end of a process."""

    FINISHED = "Finished"
    """By itself or by a signal; the return code tells."""
    ERROR = "Error"
    """It could not be run."""
    TIME_LIMIT = "TimeLimitExceeded"
    """It was ended for its time; what it wrote before is there."""


class CommandRunResult(ResponseBody):
    """One process."""

    status: CommandStatus
    execution_time: float | None = None
    """Wall-clock seconds."""
    return_code: int | None = None
    """Negative: ended by that signal. ``null`` after a time limit."""
    stdout: str | None = None
    stderr: str | None = None


class RunCodeResponse(ResponseBody):
    """The result of a program."""

    status: RunStatus
    message: str = ""
    """Empty, or which limit was hit or why nothing was run: ``memory_limit: ...``."""
    compile_result: CommandRunResult | None = None
    run_result: CommandRunResult | None = None
    executor_pod_name: str | None = None
    files: dict[str, str] = Field(default_factory=dict)


class CellRunResult(ResponseBody):
    """Output of one cell."""

    stdout: str = ""
    stderr: str = ""
    display: list[dict[str, Any]] = Field(default_factory=list)
    """MIME bundles, in order; that of the last expression included."""
    error: list[dict[str, Any]] = Field(default_factory=list)
    """At most one: ``ename``, ``evalue``, ``traceback`` (lines)."""


class RunJupyterResponse(ResponseBody):
    """The result of the cells."""

    status: RunStatus
    message: str = ""
    driver: CommandRunResult | None = None
    """The process of the kernel."""
    cells: list[CellRunResult] = Field(default_factory=list)
    executor_pod_name: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
