"""``trainer train`` and ``trainer plan``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:  # with the extra "trainer" alone
    from omegaconf import DictConfig

Overrides = Annotated[
    list[str], typer.Argument(metavar="key=value", help="preset=NAME, and others")
]
GpuMemory = Annotated[
    float | None,
    typer.Option(metavar="GB", help="Memory of each GPU, such as 24, 40, 48, 80 or 141."),
]


def train(
    overrides: Overrides = [],  # noqa: B006 - typer's way; never changed
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the run would be: the command plan.")
    ] = False,
    gpu_memory: GpuMemory = None,
) -> int:
    """Start a run, or go on from its last checkpoint.

    Exit codes: 0 the last step is trained, 1 the training failed, 2 something is wrong with the
    command or with what it names, 130 stopped by the user.
    """
    if dry_run:
        return plan(overrides, gpu_memory)
    console = Console()
    if gpu_memory is not None:
        _say(console, "error: --gpu-memory is for --dry-run: a run finds its GPUs as they are")
        return 2
    config = _configuration(overrides, console)
    return 2 if config is None else _run(config, console)


def plan(
    overrides: Overrides = [],  # noqa: B006
    gpu_memory: GpuMemory = None,
) -> int:
    """Show what a run would be: its configuration, memory, and what a step costs."""
    console = Console()
    extra = []
    if gpu_memory is not None:
        if not gpu_memory > 0:
            _say(console, f"error: --gpu-memory is {gpu_memory:g}, which is no GPU's")
            return 2
        extra = [f"trainer.gpu_memory_gb={gpu_memory:g}"]
    config = _configuration([*overrides, *extra], console)
    if config is None:
        return 2
    from trainer.run.plan import describe

    _say(console, describe(config))
    return 0


def _configuration(overrides: Sequence[str], console: Console) -> DictConfig | None:
    """The complete configuration; ``None``: it cannot be, and the user knows why."""
    from trainer.configs import compose
    from trainer.configs.old_keys import left_out
    from trainer.run.wiring import wire

    try:
        config = compose(overrides)
        wire(config)
    except ValueError as error:
        _say(console, f"error: {error}")
        return None
    for argument, reason in left_out(overrides):
        _say(console, f"note: {argument} is not needed here: {reason}")
    return config


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _run(config: DictConfig, console: Console) -> int:
    from trainer.run import environment
    from trainer.run.wiring import run_directory

    environment.prepare(config)
    # From here on, since importing veRL, Ray or torch reads the environment.
    from trainer.run.failures import RunError
    from trainer.verl_adapter.preflight import prepare

    try:
        prepare(config, console)
        _write_config(config)
        from trainer.verl_adapter.runner import train

        try:
            train(config, console)
        finally:
            _report(config, console)
    except RunError as error:
        _say(console, f"error: {error}")
        return error.exit_code
    _say(console, f"everything is in {run_directory(config)}")
    return 0


def _report(config: DictConfig, console: Console) -> None:
    """The report of what was trained, however the training ended."""
    from trainer.report.page import write_report
    from trainer.report.run_files import read_run
    from trainer.run.wiring import run_directory

    try:
        if not read_run(run_directory(config)).steps:
            return
        path, _ = write_report(run_directory(config))
    except Exception as error:
        # Of any kind: the run itself must not be lost for its report.
        _say(console, f"no report: {error}")
        return
    _say(console, f"report: {path}")


def _write_config(config: DictConfig) -> None:
    """The resolved configuration, beside what the run makes."""
    from omegaconf import OmegaConf

    from trainer.run.wiring import run_directory

    path = run_directory(config) / "config.yaml"
    path.write_text(OmegaConf.to_yaml(config, resolve=True))
