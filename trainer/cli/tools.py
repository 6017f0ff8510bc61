"""``trainer tools``: what is done around training runs, once."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from executor import ExecutorError
from trainer.game.errors import GameError

app = typer.Typer(help="What is done around training runs, once.")


@app.command("convert-to-hf")
def convert_to_hf(
    checkpoint: Annotated[
        Path, typer.Argument(help="A run directory, or one of its global_step_N.")
    ],
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
) -> int:
    """Make a Hugging Face model of a checkpoint; of a run directory's newest one."""
    from trainer.tools.convert_to_hf import ConversionError, convert, find_actor

    try:
        actor = find_actor(checkpoint)
        convert(actor, out)
    except (ConversionError, OSError) as error:
        return _failed(error)
    print(f"{out}: the model of {actor}")
    return 0


@app.command("remove-think-tokens")
def remove_think_tokens(
    model: Annotated[Path, typer.Argument(help="A folder with a tokenizer.")],
    reverting: Annotated[bool, typer.Option("--revert", help="Bring the originals back.")] = False,
) -> int:
    """Take Qwen3's think tokens out of a local copy of a model, which never saw them."""
    from trainer.tools.remove_think_tokens import TokenizerFilesError, remove, revert

    try:
        changed = revert(model) if reverting else remove(model)
    except (TokenizerFilesError, OSError) as error:
        return _failed(error)
    print(f"{model}: {', '.join(changed)} {'brought back' if reverting else 'changed'}")
    return 0


class ExtractionType(StrEnum):
    """The forms of an answer."""

    ANSWER = "answer_conditional"
    BOXED = "boxed_conditional"


@app.command("prepare-validation")
def prepare_validation(
    *,
    out: Annotated[Path, typer.Option(help="The parquet file to write.")],
    cruxeval: Annotated[
        str | None,
        typer.Option(metavar="FILE|hub", help="CRUXEval: a jsonl, json or parquet file, or hub."),
    ] = None,
    livecodebench: Annotated[
        str | None,
        typer.Option(metavar="FILE|hub", help="LiveCodeBench's execution task, likewise."),
    ] = None,
    max_rows: Annotated[int | None, typer.Option(help="At most so many of each source.")] = None,
    executor: Annotated[str, typer.Option(help="Backend that checks the rows.")] = "nsjail",
    extraction_type: Annotated[
        ExtractionType, typer.Option(help="As reward_fn.extraction_type of the run.")
    ] = ExtractionType.ANSWER,
    prompts_dir: Annotated[str | None, typer.Option(help="As azr.prompts_dir of the run.")] = None,
) -> int:
    """Make a file for data.val_files of benchmark rows.

    Every row is run: one that the executor refuses, or whose stated output is not what the program
    gives, is reported and left out.
    """
    from trainer.game.settings import AzrSettings, GameSettings, RewardFnSettings
    from trainer.game.texts.prompts import PromptBook
    from trainer.tools.prepare_validation import collect
    from trainer.tools.validation_rows import write_rows

    try:
        # These prompts are for people and for veRL's length filter; a run makes its own.
        reward_fn = RewardFnSettings(extraction_type=extraction_type.value)
        prompts = PromptBook(
            GameSettings(azr=AzrSettings(prompts_dir=prompts_dir), reward_fn=reward_fn)
        )
        named = {"cruxeval": cruxeval, "livecodebench": livecodebench}
        rows, refused = collect(named, most=max_rows, backend=executor)
        if not rows:
            return _failed("no row is left; nothing is written")
        write_rows(out, rows, prompts)
    except (GameError, ExecutorError, OSError) as error:
        return _failed(error)
    for row, reason in refused:
        print(f"left out: {row}: {reason}", file=sys.stderr)
    print(f"{out}: {_counted(row.data_source for row in rows)}; {len(refused)} rows left out")
    return 0


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(Counter(names).items()))


@app.command("smoke")
def smoke(
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    overrides: Annotated[
        list[str], typer.Argument(metavar="key=value", help="As of a training run.")
    ] = [],  # noqa: B006 - typer's way; never changed
    within: Annotated[float, typer.Option(help="Seconds for all.")] = 570,
) -> int:
    """Try a set-up: five short steps, killed and gone on with, and the conversion.

    Prints one table: time of each phase, memory, and how far rollout and trainer are apart. Exit
    codes: 0 all is as it should be, 1 not.
    """
    from rich.console import Console

    from trainer.tools.smoke import table, try_out

    if out.exists():
        print(f"error: {out} exists already", file=sys.stderr)
        return 1
    out.mkdir(parents=True)
    found = try_out(out, overrides, time.monotonic() + within)
    Console().print(table(found))
    for problem in found.problems:
        print(f"PROBLEM: {problem}")
    return 1 if found.problems else 0


def _failed(error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2
