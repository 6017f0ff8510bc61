"""``executor run``: one script, once, in a fresh sandbox."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from executor.cli import make_executor
from executor.cli import options as opt
from executor.cli.failure import (
    EXIT_BROKEN_PIPE,
    EXIT_INFRA,
    EXIT_OK,
    EXIT_SCRIPT_STOPPED,
    CommandError,
)
from executor.cli.interrupts import Interrupted, Interrupts
from executor.cli.io.source import open_source
from executor.models import Limits, Rules, Script, ScriptLanguage, ScriptResult, Status
from executor.wire.source_text import decode_source

ScriptFile = Annotated[str, typer.Argument(metavar="SCRIPT", help="Source to run; - is stdin.")]
Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="ARGS", help="The script's own arguments.")
]


class Language(StrEnum):
    """Languages of scripts."""

    PYTHON = "python"
    BASH = "bash"
    PYTEST = "pytest"


InLanguage = Annotated[
    Language,
    typer.Option("--language", help="What SCRIPT is written in; pytest: Python with tests."),
]
Stdin = Annotated[
    str | None,
    typer.Option("--stdin", metavar="FILE", help="What the script reads; - is stdin."),
]


@opt.with_script_limits
def run(
    script: ScriptFile,
    args: Arguments = None,
    *,
    language: InLanguage = Language.PYTHON,
    stdin: Stdin = None,
    backend: opt.OneBackend = "nsjail",
    url: opt.Url = None,
    image: opt.Image = None,
    runtime: opt.Runtime = None,
    libraries: opt.Libraries = None,
    quiet: opt.Quiet = False,
    limits: Limits,
) -> int:
    """Run one script in a fresh sandbox with a writable directory and no network.

    Its output is passed on as it is, and its exit code is the command's. Where a limit or the
    policy ends it, one line on stderr says so and the exit code is 1 (3 if the platform failed).
    Options stand before SCRIPT; what follows it belongs to the script.

    **Example:** `executor run --wall-s 2 --stdin data.txt script.py --verbose`
    """
    if script == stdin == "-":
        raise CommandError("SCRIPT and --stdin cannot both be standard input")
    if "," in backend:
        raise CommandError("--backend names several: run has one (verify and judge compare)")
    options = make_executor.ExecutorOptions(
        backend=backend,
        url=url,
        image=image,
        runtime=runtime,
        libraries=libraries,
        workers=1,
        limits=limits,
        rules=Rules(),
    )
    interrupts = Interrupts()
    try:
        with interrupts.installed():
            result = asyncio.run(
                _run(options, (script, stdin), (language.value, args or ()), quiet, interrupts)
            )
    except Interrupted as interrupted:
        return interrupted.exit_code
    return _report(result)


async def _run(
    options: make_executor.ExecutorOptions,
    files: tuple[str, str | None],
    command: tuple[ScriptLanguage, Sequence[str]],
    quiet: bool,
    interrupts: Interrupts,
) -> ScriptResult:
    language, args = command
    with interrupts.guard():
        source = await _read_text(files[0], language)
        stdin = await _read_text(files[1]) if files[1] else ""
        script = Script(source=source, language=language, stdin=stdin, argv=tuple(args))
        async with make_executor.create_executor(options) as executor:
            for warning in () if quiet else executor.info.warnings:
                print(f"executor: warning: {warning}", file=sys.stderr, flush=True)
            return await executor.run(script)


async def _read_text(path: str, language: ScriptLanguage | None = None) -> str:
    with open_source(path) as source:
        raw = await source.read_all()
    try:
        return decode_source(raw, language) if language else raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        encoding = error.encoding.upper()
        raise CommandError(
            f"cannot use {source.name}: not {encoding} (byte {error.start + 1})"
        ) from None


def _report(result: ScriptResult) -> int:
    try:
        _pass_on(1, result.stdout)
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    _pass_on(2, result.stderr)
    if result.status is Status.OK:
        return EXIT_OK
    if result.exit_code is not None and result.status is Status.ERROR:
        return result.exit_code
    print(f"executor: {result.status}: {result.detail}", file=sys.stderr)
    return EXIT_INFRA if result.status is Status.INFRA else EXIT_SCRIPT_STOPPED


def _pass_on(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CommandError(f"cannot write descriptor {fd}: {error.strerror}") from None
