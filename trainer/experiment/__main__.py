"""``python -m trainer.experiment learning``: does self-play from a tiny model teach it anything?

Makes the warm start if it is not there, trains all arms with all seeds, and writes
``learning.html``, ``learning.png`` and ``learning.json``. Stopped, the same command goes on where
it was. Exit codes: 0, 1 a run failed, 2 something is wrong with the command, 130 stopped.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from executor import ExecutorError
from trainer.experiment import page, results
from trainer.experiment.arms import ARMS
from trainer.experiment.plan import Plan, quick
from trainer.experiment.running import RunFailed, run_all
from trainer.warmstart.__main__ import CACHE, prepare_environment, summary
from trainer.warmstart.making import make
from trainer.warmstart.settings import WarmStart


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    prepare_environment()
    try:
        plan = _plan(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    settings = WarmStart()
    try:
        if not options.report_only:
            made = make(settings, options.cache, options.executor)
            for line in summary(made):
                print(line)
            with stoppable():
                run_all(plan, made.folder.absolute(), _say, options.jobs)
    except ExecutorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return _report(plan, settings, arguments)


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


def _plan(options: argparse.Namespace) -> Plan:
    overrides = (f"azr.executor={options.executor}", *options.overrides)
    plan = Plan(options.out.absolute(), overrides=overrides)
    if options.quick:
        plan = quick(options.out.absolute(), overrides)
    if options.arms:
        named = {arm.name: arm for arm in ARMS}
        unknown = set(options.arms) - named.keys()
        if unknown:
            raise ValueError(f"there is no arm {min(unknown)}; there are {', '.join(named)}")
        plan = replace(plan, arms=tuple(named[name] for name in options.arms))
    if options.seeds:
        plan = replace(plan, seeds=tuple(options.seeds))
    if options.steps:
        plan = replace(plan, steps=options.steps)
    return plan


def _report(plan: Plan, settings: WarmStart, arguments: Sequence[str]) -> int:
    found = results.read(plan)
    evaluated = [result for result in found if result.series(results.held_out)[0]]
    if not evaluated:
        print(f"error: no run of {plan.folder} has got to an evaluation", file=sys.stderr)
        return 2
    about = {
        "command": shlex.join(["python", "-m", "trainer.experiment", *arguments]),
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer.experiment", description=__doc__)
    parser.add_argument("name", choices=["learning"], help="the experiment")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for all runs alike")
    parser.add_argument("--quick", action="store_true", help="one seed, two arms, 10 steps")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED")
    parser.add_argument("--steps", type=int, help="of each run")
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs at a time, which share the cores (default: 1)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs") / "learning", help="folder")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of warm starts")
    parser.add_argument("--executor", default="nsjail", help="backend that runs programs")
    parser.add_argument("--report-only", action="store_true", help="of the runs that are there")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
