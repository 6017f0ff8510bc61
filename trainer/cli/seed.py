"""``trainer seed import`` and ``trainer seed generate``: the tasks that a run starts from."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from executor import ExecutorError
from trainer.game.errors import GameError, SeedError
from trainer.game.play.judging import TaskJudge
from trainer.game.play.seed_files import write_seeds
from trainer.game.play.seed_sets import SEED_SETS, SeedSet
from trainer.game.settings import AzrSettings
from trainer.run.executors import make_executor
from trainer.run.seed_folders import REFUSED, generate, import_files, wanted_sets, write_refused

app = typer.Typer(help="Make the tasks that a run starts from; all are validated by the executor.")

_CLEANING = "azr.reward.generation_reward_config"
_AS_THE_ORIGINAL = (f"{_CLEANING}.remove_comments=true", f"{_CLEANING}.remove_after_return=true")
"""Settings of the original's seeding scripts; the command line wins."""

Out = Annotated[Path, typer.Option(help="The folder to write.")]


def _reported(command: Callable[..., int]) -> Callable[..., int]:
    """Print what is wrong as a sentence, and exit with code 2."""

    @wraps(command)
    def run(**options: Any) -> int:
        try:
            return command(**options)
        except (GameError, ExecutorError, ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return run


@app.command("import")
@_reported
def import_seeds(
    *,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Tasks of one input, or of several.")
    ] = [],  # noqa: B006 - typer's way; never changed
    out: Out,
    errors: Annotated[
        list[Path],
        typer.Option(
            help="File of error deduction, where the output is an exception's name, or NoError; "
            "may be repeated."
        ),
    ] = [],  # noqa: B006
    executor: Annotated[str, typer.Option(help="As azr.executor.")] = "nsjail",
    executor_url: Annotated[
        list[str], typer.Option(help="As azr.executor_url; may be repeated.")
    ] = [],  # noqa: B006
    workers: Annotated[int | None, typer.Option(help="As azr.executor_max_workers.")] = None,
) -> int:
    """Read files in AZR's jsonl format. Exit codes: 0, or 2 if no seeds were made."""
    _refuse_existing(out)
    if not files and not errors:
        raise SeedError("name at least one file")
    try:
        azr = AzrSettings.model_validate(
            {"executor": executor, "executor_url": executor_url, "executor_max_workers": workers}
        )
    except ValidationError as error:
        raise SeedError("; ".join(problem["msg"] for problem in error.errors())) from error
    with TaskJudge(make_executor(azr, _say), azr) as judge:
        found = import_files(files, errors, judge, _say)
    sets = {seeds.task_type: seeds for seeds in SEED_SETS}
    for task_type, tasks in found.tasks.items():
        write_seeds(out / sets[task_type].file, tasks)
    write_refused(out / REFUSED, found.refused)
    _summary(out, {sets[kind]: len(tasks) for kind, tasks in found.tasks.items()})
    if found.refused:
        reasons = Counter(refusal.status for _, refusal in found.refused)
        listed = ", ".join(f"{count} {status}" for status, count in reasons.most_common())
        print(f"{out / REFUSED}: {len(found.refused)} rows left out ({listed})")
    return 0


@app.command("generate")
@_reported
def generate_seeds(
    *,
    overrides: Annotated[
        list[str], typer.Argument(metavar="key=value", help="preset=NAME, and others")
    ],
    out: Out,
    batch: Annotated[int, typer.Option(help="Prompts at a time with transformers.")] = 16,
) -> int:
    """Let a model make them, from the identity function on.

    The configuration is that of a training run: it names the model, the task types, how many seeds
    are wanted, and the executor. Sets that it names files for are read.
    """
    # Here, since `import` needs neither hydra nor torch.
    from trainer.configs import compose, game_settings
    from trainer.run import own_models, wiring

    _refuse_existing(out)
    config = compose([*_AS_THE_ORIGINAL, *overrides])
    wiring.wire(config)
    settings = game_settings(config)
    wanted_sets(settings)
    own_models.provide(config, Console(stderr=True))
    model = _model(config, batch)
    with TaskJudge(make_executor(settings.azr, _say), settings.azr) as judge:
        made = generate(settings, out, judge, model, count_tokens=model.count_tokens, say=_say)
    _summary(out, made)
    return 0


def _model(config: Any, batch: int) -> Any:
    """vLLM where the configuration generates with it and it is there, else transformers."""
    from trainer.models import vllm
    from trainer.models.local import LocalModel
    from trainer.run import environment

    if vllm.is_there(config):
        environment.prepare(config)
        return vllm.VllmModel(config)
    return LocalModel(config, batch)


def _refuse_existing(out: Path) -> None:
    for name in (*(seeds.file for seeds in SEED_SETS), REFUSED):
        if (out / name).exists():
            raise SeedError(f"{out / name} exists already; name another folder")
    out.mkdir(parents=True, exist_ok=True)


def _summary(out: Path, sizes: Mapping[SeedSet, int]) -> None:
    for seeds, size in sizes.items():
        print(f"{size} tasks: azr.{seeds.read_by}={(out / seeds.file).absolute()}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
