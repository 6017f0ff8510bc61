"""What a run costs in a process that is reset after it, and in a fork: side by side, on one core.

    python -m benchmarks.reset [--data ../shared/data] [--rounds 5] [--rows 400]

The same programs alternate between two guests, one job at a time. CPU is that of the run's process
and of the zygote together. Then the steps of a reset, in time, and which runs had to be made again
in a fork. Nothing of the host's work is in these numbers. The rows are those of CRUXEval, AZR's
seeds, HumanEval and MBPP+, as far as they are there.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.one_guest import OneGuest, call_of, compiled
from benchmarks.throughput import data_sets, read_triplets
from executor import Triplet
from executor.wire.frames import Call, Outcome

_STEPS = ("deliver", "run", "fetch", "scan", "write", "protect", "registers")
_WARM_UP = 60


class Job(NamedTuple):
    """A program that needs no more than its literal arguments."""

    code: bytes
    call: Call


def read_jobs(triplets: Iterable[Triplet], limit: int) -> Iterator[Job]:
    """The rows whose arguments are literals without names."""
    for triplet in triplets:
        if limit <= 0:
            return
        try:
            node = ast.parse(f"f({triplet.inputs[0]})", mode="eval").body
            assert isinstance(node, ast.Call)
            if node.keywords:
                continue
            arguments = [ast.literal_eval(argument) for argument in node.args]
            code = compiled("\n".join([*triplet.imports, triplet.program]))
        except (ValueError, SyntaxError):
            continue
        limit -= 1
        yield Job(code, call_of(*arguments))


def humaneval(path: Path) -> Iterator[Triplet]:
    """HumanEval's own solutions, each on the input of its first assertion."""
    for row in _rows(path):
        for node in ast.walk(ast.parse(row["test"])):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "candidate":
                program = f"{row['prompt']}{row['canonical_solution']}\nf = {row['entry_point']}"
                yield Triplet(program=program, inputs=(", ".join(map(ast.unparse, node.args)),))
                break


def mbpp_plus(path: Path) -> Iterator[Triplet]:
    """MBPP+'s own solutions, each on its first input."""
    for row in _rows(path):
        program = f"{row['solution']}\nf = {row['entry_point']}"
        yield Triplet(program=program, inputs=(row["inputs"][0],))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as lines:
        yield from map(json.loads, lines)


def all_sets(data: Path) -> dict[str, Iterable[Triplet]]:
    """The triplets of each data set that is there; else of the examples."""
    found: dict[str, Iterable[Triplet]] = {
        title: chain.from_iterable(map(read_triplets, paths))
        for title, paths in data_sets(data).items()
    }
    graded = {"HumanEval": ("humaneval", humaneval), "MBPP+": ("mbpp_plus", mbpp_plus)}
    for title, (name, read) in graded.items():
        path = data / f"grading/{name}.jsonl"
        if path.exists():
            found[title] = read(path)
    return found


class Side:
    """One of the two guests."""

    def __init__(self, reuse: Literal["reset", "fork"]) -> None:
        self.guest = OneGuest(reuse, ["costs=1"] if reuse == "reset" else [])
        self.cpu_us: list[float] = []
        """Of a run, by rounds."""

    def round(self, jobs: Sequence[Job]) -> list[bytes]:
        """Run all; their results."""
        before, used, results = self.guest.cpu_ns(), 0, []
        for job in jobs:
            ran = self.guest.run_compiled(*job)
            used += ran.reply.cpu_us
            results.append(ran.reply.records if ran.outcome is Outcome.RESULT else b"")
        zygote = (self.guest.cpu_ns() - before) / 1000
        self.cpu_us.append((zygote + used) / len(jobs))
        return results


def contest(jobs: Sequence[Job], rounds: int) -> tuple[dict[str, Side], int]:
    """Both sides after their rounds, and how many results differed."""
    sides = {"fork": Side("fork"), "reset": Side("reset")}
    for side in sides.values():
        side.round((list(jobs) * _WARM_UP)[:_WARM_UP])
        side.cpu_us.clear()
    different = 0
    for _ in range(rounds):
        results = [side.round(jobs) for side in sides.values()]
        different += sum(one != other for one, other in zip(*results, strict=True))
    return sides, different


def memory_of(guest: OneGuest) -> str:
    """Unshared memory of the zygote and of its slots, in MiB."""
    zygote = guest.zygote()
    below = [f"{_unshared(child):.1f}" for child in zygote.children()]
    return f"zygote {_unshared(zygote):.1f} MiB, slots {', '.join(below) or 'none'}"


def _unshared(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss / 2**20)


def report(console: Console, title: str, jobs: Sequence[Job], rounds: int) -> None:
    """Print one data set's numbers."""
    sides, different = contest(jobs, rounds)
    table = Table(title=f"{title}: {len(jobs)} programs, {rounds} rounds, CPU us for each run")
    for column in ("process of a run", "median", "all rounds", "memory"):
        table.add_column(column)
    for name, side in sides.items():
        table.add_row(
            name,
            f"{statistics.median(side.cpu_us):.0f}",
            " ".join(f"{us:.0f}" for us in side.cpu_us),
            memory_of(side.guest),
        )
    console.print(table)
    ratios = [f / r for f, r in zip(sides["fork"].cpu_us, sides["reset"].cpu_us, strict=True)]
    console.print(f"a fork takes {statistics.median(ratios):.2f} x; {different} results differ")
    for side in sides.values():
        told = side.guest.finish()
        if told:
            print_steps(console, told)
        side.guest.close()


def print_steps(console: Console, told: dict[str, int]) -> None:
    """Where the time of a reset run goes."""
    runs = max(1, told["runs"])
    steps = ", ".join(f"{step} {told[step] / runs / 1000:.1f}" for step in _STEPS)
    console.print(f"us for each run, by the clock: {steps}; own CPU {told['cpu_us'] / runs:.1f}")
    pages, ranges, cold = (told[name] / runs for name in ("pages", "ranges", "cold"))
    console.print(f"pages put back {pages:.1f} in {ranges:.1f} ranges; protected {cold:.1f} ranges")
    made = max(1, told["made"])
    escaped, lost = (100 * told[name] / runs for name in ("escaped", "lost"))
    console.print(f"made again in a fork {escaped:.2f} %, slots lost {lost:.2f} %")
    each_ms, copy_mib = told["made_ns"] / made / 1e6, told["copied_kib"] / made / 1024
    console.print(f"slots made {told['made']} at {each_ms:.1f} ms, copy of each {copy_mib:.1f} MiB")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", default="../shared/data", help="directory of the data sets")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--rows", type=int, default=400, help="rows of each data set, at most")
    options = parser.parse_args()
    console = Console(width=140)
    for title, triplets in all_sets(Path(options.data)).items():
        report(console, title, [*read_jobs(triplets, options.rows)], options.rounds)


if __name__ == "__main__":
    main()
