"""``executor doctor``: does what is promised hold on this host?"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from executor.cli import options as opt
from executor.cli.failure import EXIT_INFRA, EXIT_OK
from executor.cli.make_executor import HTTP, ExecutorOptions, create_executor
from executor.cli.model_options import names
from executor.errors import ConfigurationError
from executor.models import Limits

if TYPE_CHECKING:
    from executor.doctor import ProbeResult

EXIT_BROKEN_PROMISE = 1
"""Something that is promised does not hold."""
_LIMITS = Limits(wall_s=20, cpu_s=10)
_STYLES = {"holds": "green", "fails": "bold red", "unknown": "bold yellow", "waived": "bold yellow"}

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Promises = Annotated[
    str | None,
    typer.Option(
        "--promises",
        metavar="NAME",
        help="Hold the sandbox to the promises of this backend, not to its own.",
    ),
]

Waive = Annotated[
    list[str] | None,
    typer.Option(
        "--waive",
        metavar="NAME",
        help="Do not fail for this probe: its state is 'waived' then. Repeatable.",
    ),
]


def doctor(
    *,
    backend: opt.OneBackend = "nsjail",
    url: opt.Url = None,
    image: opt.Image = None,
    runtime: opt.Runtime = None,
    libraries: opt.Libraries = None,
    workers: opt.Workers = None,
    promises: Promises = None,
    waive: Waive = None,
    as_json: AsJson = False,
) -> int:
    """Prove each limit and each wall on this host, by probes run inside the sandbox.

    Exit codes: 0 what is promised holds or is waived, 1 something is not, 3 the platform failed for
    a probe.

    **Example:** `executor doctor --backend docker`
    """
    from executor.backends.settings import SETTINGS  # noqa: PLC0415
    from executor.doctor import PROBES, waivable  # noqa: PLC0415

    if promises is not None and promises not in SETTINGS:
        raise ConfigurationError(f"--promises {promises}: one of {', '.join(SETTINGS)}")
    if "," in backend:
        raise ConfigurationError("doctor looks at one backend at a time")
    try:
        waived = waivable(names(waive), PROBES)
    except ConfigurationError as error:
        raise ConfigurationError(f"--waive {error}") from None
    engine = ExecutorOptions(
        backend=backend,
        url=url,
        image=image,
        runtime=runtime,
        libraries=libraries,
        workers=workers,
        limits=Limits() if backend == HTTP else _LIMITS,
    )
    return asyncio.run(_doctor(engine, promises, waived, as_json))


async def _doctor(
    engine: ExecutorOptions, promises: str | None, waived: tuple[str, ...], as_json: bool
) -> int:
    from executor.doctor import PROBES, State, excused, prove  # noqa: PLC0415

    async with create_executor(engine) as executor:
        info = executor.info
        results = excused(await prove(executor, PROBES, promises=promises), waived)
    states = {result.state for result in results}
    if as_json:
        report: dict[str, Any] = {
            **info._asdict(),
            "holds": State.FAILS not in states,
            "probes": [result._asdict() for result in results],
        }
        json.dump(report, sys.stdout)
        print()
    else:
        console = Console(highlight=False)
        console.print(_table(results))
        if not info.isolated:
            text = f"WARNING: backend {info.backend}: NO ISOLATION"
            console.print(Text(text, style="bold red"))
        counts = {state: sum(r.state is state for r in results) for state in State}
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        console.print(
            f"doctor: backend {info.backend} ({info.process_reuse}), {info.interpreter}: {told}",
            markup=False,
        )
    if State.FAILS in states:
        return EXIT_BROKEN_PROMISE
    return EXIT_INFRA if State.UNKNOWN in states else EXIT_OK


def _table(results: tuple[ProbeResult, ...]) -> Table:
    table = Table(show_lines=True)
    for heading in ("probe", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("tried", "expected", "happened", "advice"):
        table.add_column(heading)
    for result in results:
        state = Text(result.state, style=_STYLES.get(result.state, ""))
        texts = (result.tried, result.expected, result.happened, result.advice)
        table.add_row(result.name, state, *map(Text, texts))
    return table
