"""Throughput: unsandboxed pools, cold jails and the warm pool on the same rows, in one run.

    python -m benchmarks.throughput [--data ../shared/data] [--rounds 5] [--rows 256]

Without data the rows are the example triplets that ship with the package. Two measurements:

* *runs*: one program, one input, one value.
* *the job*: validate one triplet and judge 8 distinct abduction answers. A pool without isolation
  executes the program ten times for it (twice to validate, once for each answer).

The executor runs twice: as it chooses, and with a fork for each run. Rounds are interleaved and
medians are printed: trust the ratios. The executor's cache is off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import marshal
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.baselines import BarePool, ColdJail, PebblePool, Work
from executor import Executor, JudgeTask, Limits, Rules, Status, TaskType, Triplet
from executor.backends.settings import NsjailSettings
from executor.grammar.literals import Malformed, NotLiteral, parse_arguments
from executor.grammar.text import literal_text
from executor.pool.engine import Job
from executor.pool.runner import PoolEngine
from executor.verification.prepare import (
    Arguments,
    Program,
    argument_items,
    program_item,
    read_arguments,
    read_program,
)
from executor.wire.frames import Call, How

ANSWERS = 8
_NOTHING = Job(
    marshal.dumps(compile("", "<nothing>", "exec")),
    [Call(How.EXPRESSION, marshal.dumps(compile("None", "<nothing>", "eval")))],
    imports=False,
)
IN_HAND = 64
_FORKS = "this executor, a fork for each run"
_EXAMPLES = Path(__file__).parent.parent / "executor/examples/triplets.jsonl"


class Row(NamedTuple):
    """A sound triplet with eight distinct answers to judge."""

    triplet: Triplet
    output: str
    answers: tuple[str, ...]

    @property
    def program(self) -> str:
        return "\n".join([*self.triplet.imports, self.triplet.program])

    def works(self) -> list[Work]:
        """What a pool without isolation executes for the job."""
        gold = self.triplet.inputs[0]
        return [(self.program, text) for text in (gold, gold, *self.answers)]

    def task(self) -> JudgeTask:
        return JudgeTask(
            task=TaskType.ABDUCTION,
            program=self.triplet.program,
            imports=self.triplet.imports,
            inputs=self.triplet.inputs,
            outputs=(self.output,),
            answers=self.answers,
        )


class Measured(NamedTuple):
    """One round of one contestant."""

    per_s: float
    cpu_us: float


# ---- rows --------------------------------------------------------------------------------------


def read_triplets(path: Path) -> Iterator[Triplet]:
    """The triplets of a file that have one input."""
    with path.open() as lines:
        for line in lines:
            row = json.loads(line)
            program = row.get("program") or row.get("snippet") or row.get("code")
            if isinstance(row.get("input"), str) and program:
                yield Triplet(
                    program=program,
                    imports=tuple(row.get("imports") or ()),
                    inputs=(row["input"],),
                )


def variants(text: str) -> tuple[str, ...]:
    """Distinct literal arguments: the given ones, and some that are near to them."""
    args, kwargs = parse_arguments(text)
    found = {text: None}
    for step in range(1, 4 * ANSWERS):
        changed = tuple(_near(value, step) for value in args)
        parts = [literal_text(value) for value in changed]
        parts += [f"{name}={literal_text(_near(value, step))}" for name, value in kwargs.items()]
        found[", ".join(parts)] = None
    return tuple(found)[:ANSWERS]


def _near(value: Any, step: int) -> Any:
    change = _CHANGES.get(type(value))
    return change(value, step) if change is not None else value


_CHANGES: dict[type, Callable[[Any, int], Any]] = {
    int: lambda value, step: value + step % 5 - 2,
    float: lambda value, step: value + step / 4,
    str: lambda value, step: value[step % (len(value) + 1) :] + "abcdefgh"[step % 8],
    list: lambda value, step: [*value[step % (len(value) + 1) :], *value[:1]],
    tuple: lambda value, step: tuple(_near(item, step) for item in value),
    dict: lambda value, step: dict(list(value.items())[step % (len(value) + 1) :]),
}


async def sound_rows(executor: Executor, triplets: Sequence[Triplet], limit: int) -> list[Row]:
    """The rows that all contestants can do: valid, literal, eight answers, all of them quick."""
    rows = []
    async for verdict in executor.validate_many(triplets):
        triplet = triplets[verdict.index]
        if not verdict.valid or verdict.outputs[0] is None or verdict.usage.cpu_ms > 100:
            continue
        try:
            answers = variants(triplet.inputs[0])
        except (NotLiteral, Malformed):
            continue
        if len(answers) == ANSWERS:
            rows.append(Row(triplet, verdict.outputs[0], answers))
    kept = []
    async for judgement in executor.judge_many([row.task() for row in rows]):
        ended = {Status.OK, Status.MISMATCH, Status.ERROR}
        if set(judgement.statuses) <= ended and judgement.usage.cpu_ms < 100:
            kept.append(rows[judgement.index])
    return kept[:limit]


# ---- contestants ---------------------------------------------------------------------------------


async def in_hand[Item](
    items: Sequence[Item], work: Callable[[Item], Awaitable[object]], width: int = IN_HAND
) -> None:
    """Do the work for each item, so many at a time."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(width)))


class WarmPool:
    """The executor, through its public API and, for single runs, its engine."""

    name = "this executor (nsjail, warm)"

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._engine = PoolEngine(executor.pool)
        self._round = 0

    def fresh(self, rows: Sequence[Row]) -> list[Row]:
        """The same rows with programs that nothing can remember from the round before."""
        self._round += 1
        mark = f"\n# round {self._round}"
        return [
            row._replace(
                triplet=row.triplet.model_copy(update={"program": row.triplet.program + mark})
            )
            for row in rows
        ]

    async def one(self, row: Row) -> None:
        """One run from source text to value."""
        parsed = await self._engine.parse(
            [program_item(row.program, None), *argument_items(row.triplet.inputs)]
        )
        program, arguments = read_program(parsed[0]), read_arguments(parsed[1])
        assert isinstance(program, Program)
        assert isinstance(arguments, Arguments)
        ((run,),) = await self._engine.run([program.job([arguments.call])], Limits())
        assert run.outcome.status is Status.OK, run.outcome

    async def empty(self, _row: Row) -> None:
        """A process that is made and ended, and runs nothing: the floor of a run."""
        await self._engine.run([_NOTHING], Limits())

    async def empties(self, rows: Sequence[Row]) -> None:
        await in_hand(rows, self.empty)

    async def runs(self, rows: Sequence[Row]) -> None:
        await in_hand(self.fresh(rows), self.one)

    async def validated(self, row: Row) -> None:
        verdict = await self._executor.validate(row.triplet)
        assert verdict.valid, verdict

    async def judged(self, row: Row) -> None:
        judgement = await self._executor.judge(row.task())
        assert judgement.scores[0] == 1.0, judgement

    async def job(self, row: Row) -> None:
        await self.validated(row)
        await self.judged(row)

    async def jobs(self, rows: Sequence[Row]) -> None:
        await in_hand(self.fresh(rows), self.job)


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq)


async def measure(work: Callable[[], Awaitable[object]], count: int) -> Measured:
    """Run once; rate, and processor time of the whole machine for each item."""
    busy, start = _busy_s(), time.perf_counter()
    await work()
    seconds = time.perf_counter() - start
    return Measured(count / seconds, (_busy_s() - busy) / count * 1e6)


async def contest(
    contestants: dict[str, tuple[Callable[[], Awaitable[object]], int]], rounds: int
) -> dict[str, list[Measured]]:
    """Measure all, interleaved, after one round that does not count."""
    results: dict[str, list[Measured]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, (work, count) in contestants.items():
            measured = await measure(work, count)
            if number:
                results[name].append(measured)
    return results


# ---- report --------------------------------------------------------------------------------------


def print_contest(console: Console, title: str, results: dict[str, list[Measured]]) -> None:
    """A table of medians, and of ratios to each contestant of the same round."""
    ours = results[WarmPool.name]
    table = Table(title=title)
    for column in ("contestant", "per s", "all rounds", "CPU us each", "this executor is"):
        table.add_column(column, justify="left" if column == "contestant" else "right")
    for name, rounds in results.items():
        ratios = [mine.per_s / other.per_s for mine, other in zip(ours, rounds, strict=True)]
        table.add_row(
            name,
            f"{statistics.median(r.per_s for r in rounds):.0f}",
            " ".join(f"{r.per_s:.0f}" for r in rounds),
            f"{statistics.median(r.cpu_us for r in rounds):.0f}",
            f"{statistics.median(ratios):.2f} x" if name != WarmPool.name else "",
        )
    console.print(table)


async def print_latency(console: Console, warm: WarmPool, rows: Sequence[Row]) -> None:
    """Times of single runs, one at a time."""
    times = []
    for row in list(rows) * max(1, 1000 // len(rows)):
        start = time.perf_counter()
        await warm.one(row)
        times.append((time.perf_counter() - start) * 1000)
    cuts = statistics.quantiles(times, n=100)
    console.print(
        f"single run, one at a time: p50 {cuts[49]:.2f} ms, p95 {cuts[94]:.2f} ms, "
        f"p99 {cuts[98]:.2f} ms ({len(times)} runs)"
    )


def print_memory(console: Console) -> None:
    """Memory of the host process, and of each kind of warm guest."""
    me = psutil.Process()
    console.print(f"memory: host process {me.memory_info().rss / 2**20:.0f} MiB resident")
    by_kind: dict[str, list[float]] = {}
    for child in me.children(recursive=True):
        command = child.cmdline()
        if any(part.endswith("guest/main.py") for part in command):
            kind = "parser" if "parser" in command else "zygote"
            kind += " with modules" if any(part.startswith("preload=") for part in command) else ""
            above = child.parent()
            kind += ", its slot" if above is not None and above.cmdline() == command else ""
            by_kind.setdefault(kind, []).append(child.memory_full_info().uss / 2**20)
    for kind, sizes in sorted(by_kind.items()):
        console.print(f"memory: {len(sizes)} x {kind}: {statistics.median(sizes):.1f} MiB unshared")


async def compare(
    console: Console, title: str, rows: list[Row], options: argparse.Namespace
) -> None:
    """All contestants on one set of rows."""
    processes = len(os.sched_getaffinity(0))
    pools: list[BarePool | PebblePool] = [BarePool(processes), PebblePool(processes)]
    cold = ColdJail(processes)
    few = rows[: options.cold_runs]
    try:
        rules = Rules(banned_modules=())
        forking = NsjailSettings(process_reuse="fork")
        async with (
            Executor(cache=False, rules=rules) as executor,
            Executor(forking, cache=False, rules=rules) as forks,
        ):
            warm, forked = WarmPool(executor), WarmPool(forks)
            console.print(f"process of a run: {executor.info.process_reuse}")
            single = [(row.program, row.triplet.inputs[0]) for row in rows]
            runs = {pool.name: (_threaded(pool.run, single), len(single)) for pool in pools}
            runs[ColdJail.name] = (
                _threaded(cold.run, [(r.program, r.triplet.inputs[0]) for r in few]), len(few),
            )  # fmt: skip
            runs["this executor, a process that runs nothing"] = (
                lambda: warm.empties(rows), len(rows),
            )  # fmt: skip
            runs[_FORKS] = (lambda: forked.runs(rows), len(rows))
            runs[WarmPool.name] = (lambda: warm.runs(rows), len(rows))
            print_contest(console, f"{title}: runs", await contest(runs, options.rounds))
            ten = [work for row in rows for work in row.works()]
            jobs = {pool.name: (_threaded(pool.run, ten), len(rows)) for pool in pools}
            jobs[_FORKS] = (lambda: forked.jobs(rows), len(rows))
            jobs[WarmPool.name] = (lambda: warm.jobs(rows), len(rows))
            print_contest(
                console,
                f"{title}: validate one triplet and judge {ANSWERS} answers",
                await contest(jobs, options.rounds),
            )
            await print_latency(console, warm, rows)
            print_memory(console)
    finally:
        for pool in (*pools, cold):
            pool.close()


def _threaded(
    run: Callable[[Sequence[Work]], object], works: Sequence[Work]
) -> Callable[[], Awaitable[object]]:
    return lambda: asyncio.to_thread(run, works)


def data_sets(data: Path) -> dict[str, list[Path]]:
    """The files of each data set that is there; else the examples."""
    if not (data / "cruxeval.jsonl").exists():
        return {"shipped examples": [_EXAMPLES]}
    return {
        "CRUXEval": [data / "cruxeval.jsonl"],
        "AZR seeds": sorted(data.glob("azr_seeds/*[!f]_seed_io.jsonl")),
    }


async def main_async(options: argparse.Namespace) -> None:
    """Compare on each data set that is there."""
    console = Console(width=140)
    for title, paths in data_sets(Path(options.data)).items():
        triplets = [triplet for path in paths for triplet in read_triplets(path)]
        async with Executor(limits=Limits(cpu_s=1, wall_s=2.0)) as executor:
            rows = await sound_rows(executor, triplets, options.rows)
        console.print(f"\n{title}: {len(rows)} rows, {len(os.sched_getaffinity(0))} cores")
        await compare(console, title, rows, options)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", default="../shared/data", help="directory of the data sets")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--rows", type=int, default=256, help="rows of each data set, at most")
    parser.add_argument("--cold-runs", type=int, default=100, help="cold runs in each round")
    asyncio.run(main_async(parser.parse_args()))


if __name__ == "__main__":
    main()
