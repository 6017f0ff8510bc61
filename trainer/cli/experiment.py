"""``trainer experiment``: does self-play from a tiny model teach it anything?"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from executor import ExecutorError
from trainer.cli.warmstart import CACHE, prepare_environment, summary
from trainer.experiment.arms import ARMS
from trainer.experiment.plan import Plan, quick
from trainer.warmstart.making import make
from trainer.warmstart.settings import WarmStart


class Experiment(StrEnum):
    """The experiments that there are."""

    LEARNING = "learning"


def experiment(
    name: Annotated[Experiment, typer.Argument(help="The experiment.")],
    overrides: Annotated[
        list[str], typer.Argument(metavar="key=value", help="For all runs alike.")
    ] = [],  # noqa: B006
    *,
    short: Annotated[bool, typer.Option("--quick", help="One seed, two arms, 10 steps.")] = False,
    arms: Annotated[list[str], typer.Option(help="Only this arm; may be repeated.")] = [],  # noqa: B006
    seeds: Annotated[list[int], typer.Option(help="Only this seed; may be repeated.")] = [],  # noqa: B006
    steps: Annotated[int | None, typer.Option(help="Of each run.")] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time, which share the cores.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs") / "learning",
    cache: Annotated[Path, typer.Option(help="Folder of warm starts.")] = CACHE,
    executor: Annotated[str, typer.Option(help="Backend that runs programs.")] = "nsjail",
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Of the runs that are there.")
    ] = False,
) -> int:
    """Train all arms with all seeds from a warm start, and compare them.

    Writes learning.html, learning.png and learning.json. Stopped, the same command goes on where it
    was. Exit codes: 0, 1 a run failed, 2 something is wrong with the command, 130 stopped.
    """
    prepare_environment()
    try:
        plan = _plan(
            out.absolute(),
            (f"azr.executor={executor}", *overrides),
            short=short, arms=arms, seeds=seeds, steps=steps,
        )  # fmt: skip
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    settings = WarmStart()
    code = 0 if report_only else _train(plan, settings, cache, executor, jobs)
    return code or _report(plan, settings)


def _train(plan: Plan, settings: WarmStart, cache: Path, backend: str, jobs: int) -> int:
    """Make the warm start and all runs; returns the exit code."""
    from trainer.experiment.running import RunFailed, run_all

    try:
        made = make(settings, cache, backend)
        for line in summary(made):
            print(line)
        with stoppable():
            run_all(plan, made.folder.absolute(), _say, jobs)
    except ExecutorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM raise :class:`KeyboardInterrupt` in this block, where they are not ignored
    (by nohup, or by a shell for its background jobs)."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    print(line, flush=True)


def _plan(
    folder: Path,
    overrides: tuple[str, ...],
    *,
    short: bool,
    arms: Sequence[str],
    seeds: Sequence[int],
    steps: int | None,
) -> Plan:
    plan = quick(folder, overrides) if short else Plan(folder, overrides=overrides)
    if arms:
        named = {arm.name: arm for arm in ARMS}
        unknown = set(arms) - named.keys()
        if unknown:
            raise ValueError(f"there is no arm {min(unknown)}; there are {', '.join(named)}")
        plan = replace(plan, arms=tuple(named[name] for name in arms))
    if seeds:
        plan = replace(plan, seeds=tuple(seeds))
    if steps:
        plan = replace(plan, steps=steps)
    return plan


def _report(plan: Plan, settings: WarmStart) -> int:
    from trainer.experiment import page, results

    found = results.read(plan)
    evaluated = [result for result in found if result.series(results.held_out)[0]]
    if not evaluated:
        print(f"error: no run of {plan.folder} has got to an evaluation", file=sys.stderr)
        return 2
    about = {
        "command": shlex.join(["python", "-m", "trainer", *sys.argv[1:]]),
        "steps": plan.steps,
        "seeds": list(plan.seeds),
        "tasks": settings.corpus.held_out,
        "cores": len(os.sched_getaffinity(0)),
    }
    rows = page.write(evaluated, about, plan.folder)
    for row in rows:
        print(" | ".join(page.cells(row)))
    for line in page.comparisons(rows):
        print(line)
    print(plan.folder / page.PAGE)
    return 0
