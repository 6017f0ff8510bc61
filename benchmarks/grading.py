"""Solutions of HumanEval and MBPP+ per second: ours, EvalPlus' checker, and one script per test.

    python -m benchmarks.grading [--data ../shared/data/grading] [--rounds 3] [--scripts 200]

HumanEval's 164 solutions are judged by their assertions, MBPP+'s by their calls. EvalPlus' checker
(the package ``evalplus``, if it is installed) gets the same calls, of HumanEval those that the
assertions make, with as many processes as there are cores; it has no isolation. One script per
test is what a service that runs scripts makes of it, here without isolation and as many at a time
as there are cores; only ``--scripts`` tests are run. *Nothing but the calls* is what the solutions
themselves take, in this process, shared out over the cores: no harness can be faster. The ways take
turns in one process, so that their ratios mean something on a busy machine too. Exits with 1 if a
solution is not found right.

The data are published solutions: they are run in this process to record their calls.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from executor import Compare, Executor, JudgeTask, TaskType

CORES = len(os.sched_getaffinity(0))
_TIMES = 0.1
"""Seconds that EvalPlus is told a solution takes for a call."""


class Problem(NamedTuple):
    """One problem, for all of the ways."""

    name: str
    entry_point: str
    solution: str
    inputs: list[list[Any]]
    outputs: list[Any]
    atol: float
    task: JudgeTask
    scripts: list[str]


def human_eval(row: dict[str, Any]) -> Problem:
    """A problem of HumanEval with the calls that its assertions make."""
    solution, name = row["prompt"] + row["canonical_solution"], row["entry_point"]
    space: dict[str, Any] = {}
    random.seed(0)
    exec(solution + "\n" + row["test"], space)
    inputs: list[list[Any]] = []
    outputs: list[Any] = []

    def recorded(*args: Any) -> Any:
        inputs.append(copy.deepcopy(list(args)))
        outputs.append(space[name](*args))
        return outputs[-1]

    space["check"](recorded)
    task = JudgeTask(task=TaskType.ASSERT, entry_point=name, tests=row["test"], answers=(solution,))
    script = f"{solution}\n{row['test']}\ncheck({name})"
    return Problem(row["task_id"], name, solution, inputs, outputs, 0, task, [script])


def mbpp_plus(row: dict[str, Any]) -> Problem:
    """A problem of MBPP+."""
    inputs = [list(eval(f"(lambda *args: args)({text})", {})) for text in row["inputs"]]
    outputs = [eval(text, {"inf": float("inf"), "nan": float("nan")}) for text in row["outputs"]]
    task = JudgeTask(
        task=TaskType.CALL,
        entry_point=row["entry_point"],
        inputs=tuple(row["inputs"]),
        outputs=tuple(row["outputs"]),
        compare=Compare(atol=row["atol"]),
        answers=(row["solution"],),
    )
    scripts = [
        f"{row['solution']}\nassert {row['entry_point']}({given}) is not ..."
        for given in row["inputs"]
    ]
    return Problem(
        row["id"], row["entry_point"], row["solution"], inputs, outputs, row["atol"], task, scripts
    )


async def by_us(executor: Executor, problems: list[Problem]) -> int:
    """Solutions that are right."""
    tasks = [problem.task for problem in problems]
    judged = executor.judge_many(tasks, ordered=False)
    return sum([judgement.scores == (1.0,) async for judgement in judged])


def by_evalplus(dataset: str, problems: list[Problem]) -> int:
    """Solutions that are right, as ``evalplus.evaluate`` has it."""
    with ProcessPoolExecutor(CORES) as pool:
        return sum(pool.map(_checked, [dataset] * len(problems), problems))


def _checked(dataset: str, problem: Problem) -> bool:
    from evalplus.eval import untrusted_check  # type: ignore[import-not-found]  # noqa: PLC0415

    status, _ = untrusted_check(
        dataset,
        problem.solution,
        problem.inputs,
        problem.entry_point,
        expected=problem.outputs,
        atol=problem.atol,
        ref_time=[_TIMES] * len(problem.inputs),
        fast_check=True,
    )
    return bool(status == "pass")


def by_scripts(scripts: list[str]) -> int:
    """Scripts that end well."""

    def one(script: str) -> bool:
        command = [sys.executable, "-I", "-c", script]
        return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0

    with ThreadPoolExecutor(CORES) as pool:
        return sum(pool.map(one, scripts))


def by_nothing(problems: list[Problem]) -> float:
    """Seconds of processor time that the calls take without any harness."""
    started = time.process_time()
    for problem in problems:
        space: dict[str, Any] = {}
        exec(problem.solution, space)
        for given in problem.inputs:
            space[problem.entry_point](*copy.deepcopy(given))
    return time.process_time() - started


class Ways:
    """The ways to judge the problems of one set, and what each of them took."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name = name
        self.problems = problems
        self.tests = sum(len(problem.inputs) for problem in problems)
        self.seconds: dict[str, list[float]] = {}
        self.wrong: list[str] = []

    def note(self, way: str, right: int, of: int, started: float, share: float = 1.0) -> None:
        """Count a round; ``share`` of the tests was run."""
        self.seconds.setdefault(way, []).append((time.monotonic() - started) / share)
        if right != of and way != "EvalPlus":  # which knows some problems of its own only
            self.wrong.append(f"{self.name}, {way}: {right} of {of}")


async def _round(executor: Executor, ways: Ways, dataset: str, scripts: int) -> None:
    count = len(ways.problems)
    started = time.monotonic()
    ways.note("ours", await by_us(executor, ways.problems), count, started)
    if importlib.util.find_spec("evalplus") is not None:
        started = time.monotonic()
        right = await asyncio.to_thread(by_evalplus, dataset, ways.problems)
        ways.note("EvalPlus", right, count, started)
    ways.seconds.setdefault("nothing but the calls", []).append(by_nothing(ways.problems) / CORES)
    every = [script for problem in ways.problems for script in problem.scripts]
    some = every[:: max(1, len(every) // scripts)]
    started = time.monotonic()
    right = await asyncio.to_thread(by_scripts, some)
    ways.note("a script per test", right, len(some), started, len(some) / len(every))


async def measure(sets: dict[str, Ways], rounds: int, scripts: int) -> None:
    """Let the ways take turns."""
    async with Executor() as executor:
        for ways in sets.values():
            await by_us(executor, ways.problems[:20])
        for _ in range(rounds):
            for dataset, ways in sets.items():
                await _round(executor, ways, dataset, scripts)


def show(sets: dict[str, Ways]) -> None:
    """Print the medians."""
    table = Table("set", "way", "seconds", "tests/s", "ours is faster")
    for ways in sets.values():
        ours = statistics.median(ways.seconds["ours"])
        for way, seconds in ways.seconds.items():
            median = statistics.median(seconds)
            rate = f"{ways.tests / median:,.0f}"
            table.add_row(ways.name, way, f"{median:.2f}", rate, f"{median / ours:.1f}")
    Console(width=100).print(table)


def read(path: Path, problem: Callable[[dict[str, Any]], Problem]) -> list[Problem]:
    """The problems of a file."""
    return [problem(json.loads(line)) for line in path.read_text().splitlines()]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/grading"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scripts", type=int, default=200)
    options = parser.parse_args()
    sets = {
        "humaneval": Ways("HumanEval", read(options.data / "humaneval.jsonl", human_eval)),
        "mbpp": Ways("MBPP+", read(options.data / "mbpp_plus.jsonl", mbpp_plus)),
    }
    asyncio.run(measure(sets, options.rounds, options.scripts))
    show(sets)
    wrong = [sentence for ways in sets.values() for sentence in ways.wrong]
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
