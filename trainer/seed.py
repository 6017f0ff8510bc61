"""``python -m trainer.seed import|generate``: the tasks that a run starts from.

``import`` reads files in AZR's jsonl format; ``generate`` lets a model of this machine make tasks,
from the identity function on. Either way every task is validated by the executor. The folder OUT
gets ``programs.jsonl`` (abduction and deduction), ``errors.jsonl`` and ``inductions.jsonl``, as far
as there are such tasks, and ``refused.jsonl`` with the rows that were left out, and why.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from executor import ExecutorError
from trainer.game.errors import GameError, SeedError
from trainer.game.play.drawing import TokenCounter
from trainer.game.play.judging import TaskJudge
from trainer.game.play.seed_files import Refusal, load_seeds, read_rows, write_seeds
from trainer.game.play.seeding import make_seeds
from trainer.game.policy import Policy
from trainer.game.settings import AzrSettings, GameSettings
from trainer.game.tasks.task import InductionTask, Task, TaskType
from trainer.run.executors import make_executor

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SeedSet:
    """A file of seeds, and the keys of the configuration that belong to it."""

    file: str
    read_by: str
    written_by: str


SETS: Mapping[TaskType, SeedSet] = {
    TaskType.DEDUCTION: SeedSet("programs.jsonl", "seed_dataset", "output_seed_path"),
    TaskType.ERROR: SeedSet("errors.jsonl", "error_seed_dataset", "output_error_seed_path"),
    TaskType.INDUCTION: SeedSet(
        "inductions.jsonl", "code_f_seed_dataset", "output_code_f_seed_path"
    ),
}
REFUSED = "refused.jsonl"

_CLEANING = "azr.reward.generation_reward_config"
_AS_THE_ORIGINAL = (f"{_CLEANING}.remove_comments=true", f"{_CLEANING}.remove_after_return=true")
"""What the original's seeding scripts set; the command line wins."""


@dataclass(slots=True)
class Imported:
    """What was found in files."""

    tasks: dict[TaskType, list[Task]] = field(default_factory=dict)
    """By the type that they were validated for; abduction shares deduction's."""
    refused: list[tuple[str, Refusal]] = field(default_factory=list)
    """File and row."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code: 0, or 2 if no seeds were made."""
    options = _parser().parse_args(arguments)
    try:
        _refuse_existing(options.out)
        return _import(options) if options.command == "import" else _generate(options)
    except (GameError, ExecutorError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


# -- import ---------------------------------------------------------------------------------------


def import_files(
    files: Sequence[Path], error_files: Sequence[Path], judge: TaskJudge, say: Say
) -> Imported:
    """The sound tasks of files, each once over all files.

    Raises:
        SeedError: a file cannot be read, or holds no sound task.
        ExecutorLost: the executor cannot be reached.
    """
    found = Imported()
    known: dict[TaskType, set[str]] = {task_type: set() for task_type in SETS}
    typed = [(file, _type_of(file)) for file in files]
    for file, task_type in [*typed, *((file, TaskType.ERROR) for file in error_files)]:
        report = load_seeds(file, task_type, judge)
        say(f"{report.summary()}, {task_type.value}")
        found.refused += [(str(file), refusal) for refusal in report.refused]
        new = [task for task in report.tasks if task.key not in known[task_type]]
        known[task_type].update(task.key for task in new)
        found.tasks.setdefault(task_type, []).extend(new)
        if len(new) < len(report.tasks):
            say(f"{file}: {len(report.tasks) - len(new)} of them stand in an earlier file")
    return found


def _type_of(file: Path) -> TaskType:
    """By the form of most rows; rows of the other form are then refused."""
    rows, _ = read_rows(file)
    inductions = sum(isinstance(task, InductionTask) for _, task in rows)
    return TaskType.INDUCTION if 2 * inductions > len(rows) else TaskType.DEDUCTION


def _import(options: argparse.Namespace) -> int:
    if not options.files and not options.errors:
        raise SeedError("name at least one file")
    try:
        azr = AzrSettings(
            executor=options.executor,
            executor_url=tuple(options.executor_url),
            executor_max_workers=options.workers,
        )
    except ValidationError as error:
        raise SeedError("; ".join(problem["msg"] for problem in error.errors())) from error
    with TaskJudge(make_executor(azr, _say), azr) as judge:
        found = import_files(options.files, options.errors, judge, _say)
    for task_type, tasks in found.tasks.items():
        write_seeds(options.out / SETS[task_type].file, tasks)
    _write_refused(options.out / REFUSED, found.refused)
    _summary(options.out, {kind: len(tasks) for kind, tasks in found.tasks.items()})
    if found.refused:
        reasons = Counter(refusal.status for _, refusal in found.refused)
        listed = ", ".join(f"{count} {status}" for status, count in reasons.most_common())
        print(f"{options.out / REFUSED}: {len(found.refused)} rows left out ({listed})")
    return 0


def _write_refused(path: Path, refused: Sequence[tuple[str, Refusal]]) -> None:
    rows = [
        {"file": file, "row": refusal.row, "status": refusal.status, "detail": refusal.detail}
        for file, refusal in refused
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


# -- generate -------------------------------------------------------------------------------------


def generate(
    settings: GameSettings,
    out: Path,
    judge: TaskJudge,
    policy: Policy,
    *,
    count_tokens: TokenCounter | None = None,
    say: Say = lambda _: None,
) -> dict[TaskType, int]:
    """Let a model make the seed sets that the settings name no files for; how many tasks each has.

    Raises:
        SeedError: the settings name files for all, or the model makes no seeds.
        ExecutorLost: the executor cannot be reached.
        OSError: a set cannot be written.
    """
    wanted = wanted_sets(settings)
    paths = {SETS[kind].written_by: str(out / SETS[kind].file) for kind in wanted}
    azr = settings.azr.model_copy(update=paths)
    seeds = make_seeds(
        settings.model_copy(update={"azr": azr}), judge, policy, count_tokens=count_tokens, say=say
    )
    made = {
        TaskType.DEDUCTION: len(seeds.programs),
        TaskType.ERROR: len(seeds.errors),
        TaskType.INDUCTION: len(seeds.inductions),
    }
    return {kind: made[kind] for kind in wanted}


def wanted_sets(settings: GameSettings) -> tuple[TaskType, ...]:
    """The seed sets that a run with these settings would let the model make.

    Raises:
        SeedError: there are none.
    """
    played = set(settings.azr.task_types)
    needed = {
        TaskType.DEDUCTION: bool(played - {TaskType.ERROR}),
        TaskType.ERROR: TaskType.ERROR in played,
        TaskType.INDUCTION: TaskType.INDUCTION in played,
    }
    wanted = tuple(
        kind
        for kind, is_needed in needed.items()
        if is_needed and getattr(settings.azr, SETS[kind].read_by) is None
    )
    if not wanted:
        keys = ", ".join(f"azr.{SETS[kind].read_by}" for kind in needed if needed[kind])
        raise SeedError(
            f"nothing to make: the configuration names files for all seeds ({keys}); set to null "
            "what the model shall make"
        )
    return wanted


def _generate(options: argparse.Namespace) -> int:
    # Here, since `import` needs neither hydra nor torch.
    from trainer.configs import compose, game_settings
    from trainer.run import own_models, wiring

    config = compose([*_AS_THE_ORIGINAL, *options.overrides])
    wiring.wire(config)
    settings = game_settings(config)
    wanted_sets(settings)
    own_models.provide(config, Console(stderr=True))
    model = _model(config, options.batch)
    azr = settings.azr
    with TaskJudge(make_executor(azr, _say), azr) as judge:
        made = generate(
            settings, options.out, judge, model, count_tokens=model.count_tokens, say=_say
        )
    _summary(options.out, made)
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


# -- Both -----------------------------------------------------------------------------------------


def _refuse_existing(out: Path) -> None:
    for name in (*(seed_set.file for seed_set in SETS.values()), REFUSED):
        if (out / name).exists():
            raise SeedError(f"{out / name} exists already; name another folder")
    out.mkdir(parents=True, exist_ok=True)


def _summary(out: Path, sizes: Mapping[TaskType, int]) -> None:
    for kind, size in sizes.items():
        path = (out / SETS[kind].file).absolute()
        print(f"{size} tasks: azr.{SETS[kind].read_by}={path}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer.seed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    read = commands.add_parser("import", help="read files in AZR's jsonl format")
    read.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="tasks of one input, or of several"
    )
    read.add_argument(
        "--errors",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="files of error deduction: the output is an exception's name, or NoError",
    )
    read.add_argument("--executor", default="nsjail", help="as azr.executor (default: nsjail)")
    read.add_argument("--executor-url", nargs="+", default=[], help="as azr.executor_url")
    read.add_argument("--workers", type=int, help="as azr.executor_max_workers")
    make = commands.add_parser(
        "generate",
        help="let a model make them",
        description="The configuration is that of `python -m trainer`: it names the model, the "
        "task types, how many seeds are wanted, and the executor. Sets that it names files for are "
        "read.",
    )
    make.add_argument("overrides", nargs="+", metavar="key=value", help="preset=NAME and others")
    make.add_argument(
        "--batch", type=int, default=16, help="prompts at a time with transformers (default: 16)"
    )
    for command in (read, make):
        command.add_argument("--out", type=Path, required=True, help="the folder to write")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
