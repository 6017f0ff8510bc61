"""One batch command from start to exit code: files, executor, signals, progress, summary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from rich.console import Console

from executor.cli import make_executor
from executor.cli.batch import Batch, Indexed, Job
from executor.cli.failure import (
    EXIT_BROKEN_PIPE,
    EXIT_DISAGREEMENT,
    EXIT_INFRA,
    EXIT_OK,
    OutputClosed,
)
from executor.cli.interrupts import Interrupted, Interrupts
from executor.cli.io.progress import progress_bar, restore_terminal
from executor.cli.io.sink import check_output, open_sink
from executor.cli.io.source import Source, open_source
from executor.cli.io.summary import Tally, print_summary
from executor.cli.make_executor import ExecutorOptions
from executor.cli.options import RowOptions

if TYPE_CHECKING:
    from executor.api.protocol import ExecutorProtocol


def process[T, R: Indexed](
    given: RowOptions,
    options: ExecutorOptions,
    tally: Tally,
    make_job: Callable[[ExecutorProtocol], Job[T, R]],
) -> int:
    """Run the whole batch; returns the exit code.

    Raises:
        CommandError: a file cannot be read or written.
        ConfigurationError, BackendUnavailable: the executor cannot be started as asked.
    """
    interrupts = Interrupts(at_exit=restore_terminal)
    with interrupts.installed(), open_source(given.file) as source:
        check_output(given.out, source)
        try:
            return asyncio.run(
                _process(given, options, tally, make_job, source=source, interrupts=interrupts)
            )
        except Interrupted as interrupted:
            return interrupted.exit_code
        except OutputClosed:
            return EXIT_BROKEN_PIPE


async def _process[T, R: Indexed](
    given: RowOptions,
    options: ExecutorOptions,
    tally: Tally,
    make_job: Callable[[ExecutorProtocol], Job[T, R]],
    *,
    source: Source,
    interrupts: Interrupts,
) -> int:
    console = Console(stderr=True, quiet=given.quiet, highlight=False)
    async with AsyncExitStack() as stack:
        with interrupts.guard():
            executor = await stack.enter_async_context(make_executor.create_executor(options))
        for warning in executor.info.warnings:
            console.print(f"executor: warning: {warning}", style="yellow", markup=False)
        sink = stack.enter_context(open_sink(given.out))
        batch = Batch(make_job(executor), source, sink)
        ended, exit_code = "", EXIT_OK
        tally.start()
        try:
            async with AsyncExitStack() as shown:
                if console.is_terminal and not sink.is_terminal:
                    bar = progress_bar(console, tally.command, tally, source.size)
                    await shown.enter_async_context(bar)
                with interrupts.guard():
                    await batch.run()
        except Interrupted as interrupted:
            ended, exit_code = f"{interrupted}: unfinished rows are missing", interrupted.exit_code
        finally:
            await batch.flush()
        print_summary(console, tally.command, tally, executor.info, ended)
    if exit_code or not tally.disagreements:
        return exit_code or (EXIT_INFRA if tally.infra else EXIT_OK)
    return EXIT_DISAGREEMENT
