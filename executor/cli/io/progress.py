"""The progress bar of a batch, on a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from executor.cli.io.summary import Tally

_REFRESH_S = 0.2
_SHOW_CURSOR = b"\x1b[?25h\n"


@asynccontextmanager
async def progress_bar(
    console: Console, command: str, tally: Tally, total_bytes: int | None
) -> AsyncIterator[None]:
    """Show how far ``tally`` is, by bytes of the input if their number is known.

    For a terminal that nothing else is written to meanwhile.
    """
    with _bar(console) as bar:
        task = bar.add_task(command, total=total_bytes or None, **_figures(tally))
        ticker = asyncio.create_task(_tick(bar, task, tally))
        try:
            yield
        finally:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker
            _update(bar, task, tally)


def restore_terminal() -> None:
    """Undo what a progress bar does to the terminal, from a signal handler."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)


def _bar(console: Console) -> Progress:
    # No refresh thread: a process that starts sandboxes stays single-threaded.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[share]}"),
        TextColumn("{task.fields[rows]} rows"),
        TextColumn("{task.fields[rate]} rows/s"),
        TextColumn("{task.fields[headline]}"),
        TimeElapsedColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


async def _tick(bar: Progress, task: TaskID, tally: Tally) -> None:
    while True:
        _update(bar, task, tally)
        await asyncio.sleep(_REFRESH_S)


def _update(bar: Progress, task: TaskID, tally: Tally) -> None:
    total = bar.tasks[0].total
    share = f"{100 * tally.bytes / total:.0f} %" if total else ""
    bar.update(task, completed=tally.bytes, **{**_figures(tally), "share": share})
    bar.refresh()


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "share": "",
        "rows": f"{tally.rows:,}",
        "rate": f"{tally.rate:,.0f}",
        "headline": tally.headline(),
    }
