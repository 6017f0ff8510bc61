"""``executor replay``: does what a store or a file of judgements holds come again?"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from executor.cli import options as opt
from executor.cli.failure import EXIT_DISAGREEMENT, EXIT_INFRA, EXIT_OK
from executor.cli.make_executor import (
    ExecutorOptions,
    create_local_executor,
    store_settings,
)
from executor.errors import ConfigurationError
from executor.models import Limits

if TYPE_CHECKING:
    from executor.api.protocol import ObservedExecutor
    from executor.api.replay import Replayed

StorePath = Annotated[
    str,
    typer.Argument(
        metavar="PATH|redis://HOST",
        help="The store, or a file of judgements (.jsonl, .jsonl.gz).",
        show_default=False,
    ),
]
Most = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Entries, if not all.")
]


def replay(
    store: StorePath,
    *,
    store_key: opt.StoreKey = None,
    limit: Most = None,
    backend: opt.Backend = "nsjail",
    image: opt.Image = None,
    runtime: opt.Runtime = None,
    workers: opt.Workers = None,
    quiet: opt.Quiet = False,
) -> int:
    """Run what a store holds once more, under the same limits and rules, and compare.

    A file of judgements, such as an evaluation's replay.jsonl.gz, is judged again. Every entry
    gets one line of JSON: **key**, **same** (null: it could not be compared), **expected**,
    **outputs**, and **elsewhere**, what was different where the entry was made.

    Exit codes: 0 all that was compared is the same, 3 some could not be compared, 4 some differ.

    **Example:** `executor replay verdicts.db --limit 1000`
    """
    engine = ExecutorOptions(
        backend=backend, workers=workers, limits=Limits(), image=image, runtime=runtime
    )

    def make(limits: Limits) -> ObservedExecutor:
        return create_local_executor(replace(engine, limits=limits, cache=False))

    entries = _entries(store, store_key, make, limit)

    async def compare() -> Counter[bool | None]:
        found: Counter[bool | None] = Counter()
        async with aclosing(entries) as results:
            async for one in results:
                found[one.same] += 1
                fields = {"key": one.name, **one._asdict()}
                del fields["name"]
                print(json.dumps(fields), flush=True)
        return found

    found = asyncio.run(compare())
    if not quiet:
        told = f"{found[True]} the same, {found[False]} different, {found[None]} not compared"
        print(f"executor: {told}", file=sys.stderr)
    if found[False]:
        return EXIT_DISAGREEMENT
    return EXIT_INFRA if found[None] else EXIT_OK


def _entries(
    store: str,
    store_key: str | None,
    make: Callable[[Limits], ObservedExecutor],
    limit: int | None,
) -> AsyncGenerator[Replayed, None]:
    from executor.api.judged_again import SUFFIXES, judge_again  # noqa: PLC0415 - help needs none
    from executor.api.replay import replay  # noqa: PLC0415

    settings = store_settings(store, store_key)
    assert settings is not None
    if not settings.is_redis and not Path(settings.url).is_file():
        raise ConfigurationError(f"there is no store {settings.url}")
    if not settings.url.endswith(SUFFIXES):
        return replay(settings, make, limit)
    if store_key is not None:
        raise ConfigurationError("--store-key is for a store: a file of judgements has none")
    return judge_again(Path(settings.url), make, limit)
