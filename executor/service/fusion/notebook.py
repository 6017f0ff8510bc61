"""``/run_jupyter``: cells in one fresh kernel, by a driver of ours inside a script's sandbox.

What the driver writes comes out of a place where untrusted code ran: each line is checked.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NoReturn

from executor.libraries.missing import hint
from executor.models import Limits, Script, ScriptResult, Status
from executor.service.fusion.files import decode_files, encode_files, wanted_files
from executor.service.fusion.limits import clamped
from executor.service.fusion.models import (
    CellRunResult,
    CommandStatus,
    RunJupyterRequest,
    RunJupyterResponse,
    RunStatus,
)
from executor.service.fusion.outcome import command, message, run_status
from executor.service.fusion.run_code import pod_name, run_script
from executor.service.work.gateway import Gateway

KERNEL_MIB = 20
"""Address space that the kernel takes before the first cell; a memory limit counts from there."""
START_S = 10.0
"""For the kernel's start, beyond the time for the cells."""

_DRIVER = files("executor.service.fusion").joinpath("notebook_driver.py").read_text("utf-8")
_LAST_WORDS_S = 2.0
"""Of the time that a kernel has in all, what is kept to report the cell that was running."""
_MAX_DEPTH = 64
_PARSED_HERE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Notebook:
    """The driver's report."""

    cells: list[CellRunResult]
    """Those that ended, and what one wrote that did not."""
    end: str | None
    """The reason why there are no more; ``None`` if the driver did not get to say."""
    ended: int = 0
    """The number of cells that ended."""


class Unreadable(Exception):
    """The driver's report is not one."""


async def run_notebook(
    gateway: Gateway, request: RunJupyterRequest, server: Limits
) -> RunJupyterResponse:
    """Run cells. Raises :class:`ApiError`."""
    limits = clamped(
        server,
        wall_s=request.total_timeout + START_S,
        memory_mib=request.memory_limit_MB + KERNEL_MIB if request.memory_limit_MB > 0 else -1,
    )
    wanted = wanted_files(request.fetch_files)
    report = f".cells-{secrets.token_hex(8)}"
    script = Script(
        source=_DRIVER,
        stdin=json.dumps(
            {
                "cells": request.cells,
                "cell_s": request.cell_timeout,
                "total_s": request.total_timeout,
                "wall_s": limits.wall_s - min(_LAST_WORDS_S, limits.wall_s / 5),
                "output": limits.output_kib * 1024,
                "result": report,
            }
        ),
        files=decode_files(request.files),
        collect=(report, *dict.fromkeys(wanted.values())),
    )
    result = await run_script(gateway, script, limits)
    try:
        notebook = await _read(result.files.get(report, b""))
    except Unreadable as error:
        return _answer(result, Notebook([], None), {}, f"crashed: {error}")
    return _answer(
        result, notebook, encode_files(result.files, wanted), _limit(notebook, request, limits)
    )


def _answer(
    result: ScriptResult, notebook: Notebook, fetched: dict[str, str], problem: str
) -> RunJupyterResponse:
    driver = command(result)
    timed_out = notebook.end in ("cell_limit", "total_limit", "wall_limit")
    if driver is not None and timed_out:
        driver = driver.model_copy(update={"status": CommandStatus.TIME_LIMIT, "return_code": None})
    status = run_status(result)
    if status is RunStatus.SUCCESS and notebook.end not in ("done", "exit"):
        status = RunStatus.FAILED
    return RunJupyterResponse(
        status=status,
        message=_message(result) or problem,
        driver=driver,
        cells=notebook.cells,
        executor_pod_name=pod_name(),
        files=fetched,
    )


def _message(result: ScriptResult) -> str:
    if result.status is Status.ERROR:
        return f"crashed: the kernel ended with exit code {result.exit_code}"
    return message(result)


def _limit(notebook: Notebook, request: RunJupyterRequest, limits: Limits) -> str:
    """The limit of the notebook that was hit, if one was."""
    number = notebook.ended + 1
    left = len(request.cells) - notebook.ended
    return {
        "exit": f"cell {notebook.ended} left the kernel: {left} cells were not run" * (left > 0),
        "cell_limit": f"wall_limit: cell {number} ran for {request.cell_timeout:g} s",
        "total_limit": f"wall_limit: the cells ran for {request.total_timeout:g} s",
        "wall_limit": f"wall_limit: the kernel ran for {limits.wall_s:g} s",
        "output_limit": f"output_limit: the cells gave more than {limits.output_kib} KiB",
    }.get(notebook.end or "", "")


async def _read(report: bytes) -> Notebook:
    if len(report) <= _PARSED_HERE_BYTES:
        return read_report(report)
    return await asyncio.to_thread(read_report, report)


def read_report(report: bytes) -> Notebook:
    """Read the driver's lines. Raises :class:`Unreadable`."""
    lines = report.split(b"\n")
    if lines.pop() != b"":
        lines.append(b"")  # cut off
    cells: list[CellRunResult] = []
    unfinished = False
    for number, line in enumerate(lines):
        entry = _object(line)
        if entry.keys() == {"end"}:
            if number != len(lines) - 1 or type(entry["end"]) is not str:
                raise Unreadable("the kernel's report is not well-formed")
            return Notebook(cells, entry["end"], len(cells) - unfinished)
        if unfinished:
            raise Unreadable("the kernel's report is not well-formed")
        unfinished = entry.keys() == {"unfinished"} and type(entry["unfinished"]) is dict
        cells.append(_cell(entry["unfinished"] if unfinished else entry))
    return Notebook(cells, None, len(cells) - unfinished)


def _object(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Unreadable("the kernel's report is not well-formed") from None
    if type(entry) is not dict:
        raise Unreadable("the kernel's report is not well-formed")
    return entry


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _cell(entry: dict[str, Any]) -> CellRunResult:
    if entry.keys() != CellRunResult.model_fields.keys():
        raise Unreadable("the kernel's report has not the keys it should have")
    for name, kind in (("stdout", str), ("stderr", str), ("display", list), ("error", list)):
        if type(entry[name]) is not kind:
            raise Unreadable("the kernel's report has not the types it should have")
    for item in (*entry["display"], *entry["error"]):
        if type(item) is not dict or _too_deep(item, _MAX_DEPTH):
            raise Unreadable("the kernel's report has not the types it should have")
    for error in entry["error"]:
        name, message = error.get("ename"), error.get("evalue")
        if type(name) is type(message) is str and (told := hint(name, message)):
            error["evalue"] = message + told
    return CellRunResult.model_construct(**entry)


def _too_deep(value: object, allowed: int) -> bool:
    if isinstance(value, dict):
        return not allowed or any(_too_deep(item, allowed - 1) for item in value.values())
    if isinstance(value, list):
        return not allowed or any(_too_deep(item, allowed - 1) for item in value)
    return False
