"""``python -m trainer preset=NAME [key=value ...] [--dry-run]``: train by self-play.

Without ``--dry-run`` the run starts, or goes on from its last checkpoint. Exit codes: 0 the last
step is trained, 1 the training failed, 2 something is wrong with the command or with what it names,
130 stopped by the user.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from trainer.configs import compose
from trainer.configs.old_keys import left_out
from trainer.run.wiring import run_directory, wire


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="preset=NAME and others")
    parser.add_argument("--dry-run", action="store_true", help="show what the run would be")
    parser.add_argument(
        "--gpu-memory",
        type=float,
        metavar="GB",
        help="with --dry-run: memory of each GPU, such as 24, 40, 48, 80 or 141",
    )
    options = parser.parse_intermixed_args(arguments)
    console = Console()
    try:
        config = compose(_with_gpu_memory(options))
        wire(config)
    except ValueError as error:
        console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    for argument, reason in left_out(options.overrides):
        say = f"note: {argument} is not needed here: {reason}"
        console.print(say, markup=False, highlight=False, soft_wrap=True)
    if options.dry_run:
        from trainer.run.plan import describe

        console.print(describe(config), markup=False, highlight=False, soft_wrap=True)
        return 0
    return _run(config, console)


def _with_gpu_memory(options: argparse.Namespace) -> list[str]:
    if options.gpu_memory is None:
        return list(options.overrides)
    if not options.dry_run:
        raise ValueError("--gpu-memory is for --dry-run: a run finds its GPUs as they are")
    if not options.gpu_memory > 0:
        raise ValueError(f"--gpu-memory is {options.gpu_memory:g}, which is no GPU's")
    return [*options.overrides, f"trainer.gpu_memory_gb={options.gpu_memory:g}"]


def _run(config: DictConfig, console: Console) -> int:
    from trainer.run import environment

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
        console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    console.print(f"everything is in {run_directory(config)}", soft_wrap=True)
    return 0


def _report(config: DictConfig, console: Console) -> None:
    """The report of what was trained, however the training ended."""
    from trainer.report.page import write_report
    from trainer.report.run_files import read_run

    try:
        if not read_run(run_directory(config)).steps:
            return
        path, _ = write_report(run_directory(config))
    except Exception as error:
        # Of any kind: the run itself must not be lost for its report.
        console.print(f"no report: {error}", markup=False, highlight=False, soft_wrap=True)
        return
    console.print(f"report: {path}", markup=False, highlight=False, soft_wrap=True)


def _write_config(config: DictConfig) -> None:
    """The resolved configuration, beside what the run makes."""
    path = run_directory(config) / "config.yaml"
    path.write_text(OmegaConf.to_yaml(config, resolve=True))
