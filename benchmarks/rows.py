"""Hostile rows, one at a time: what each takes of the host's memory and of its event loop.

    python -m benchmarks.rows [--only WORD] [--files FILE...]

Each row must end with an outcome of its own, the honest row after it must be right, the memory of
the host process must stay below 200 MiB, and no row may hold the event loop for longer than 50 ms.
A hold is the delay of a task that wakes every few milliseconds, or the processor time that this
process used meanwhile if that is less: then the machine was busy with something else. ``--files``
adds rows of files, as the command line reads them. Exits with 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from rich.console import Console

from executor import Executor, JudgeTask, Limits, Rules, Status, TaskType, Triplet
from executor.cli.io.rows import read_judge_task, read_triplet
from executor.cli.io.source import Line

MAX_HOST_MIB = 200
MAX_HOLD_S = 0.05
LIMITS = Limits(cpu_s=30, wall_s=120)
"""Of runs: rows must meet their own budgets, on a machine that does other work too."""
_TICK_S = 0.004
_SETS = "[set() for _ in range({})]"
_LITERAL = "def f(x):\n    return x"

Item = Triplet | JudgeTask


class Measured(NamedTuple):
    """What a row took."""

    name: str
    outcome: str
    seconds: float
    hold_s: float
    peak_mib: float


class Holds:
    """The longest time that the event loop was held while the context is open."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def _watch(self) -> None:
        while True:
            wall, used = time.monotonic(), time.process_time()
            await asyncio.sleep(_TICK_S)
            late = time.monotonic() - wall - _TICK_S
            self.longest_s = max(self.longest_s, min(late, time.process_time() - used))

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(2 * _TICK_S)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


def reset_peak() -> None:
    """Let the kernel count the peak of this process's memory from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """The peak of this process's resident memory, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel tells no VmHWM")


# ---- rows ----------------------------------------------------------------------------------------


def _returns(expression: str, inputs: int = 1) -> Triplet:
    program = f"from decimal import Decimal\nfrom collections import *\ndef f(n):\n    {expression}"
    return Triplet(program=program, inputs=tuple(map(str, range(inputs))))


def _answers(*answers: str, output: str = "1", program: str | None = None) -> JudgeTask:
    return JudgeTask(task=TaskType.DEDUCTION, outputs=(output,), answers=answers, program=program)


def _inputs(*answers: str) -> JudgeTask:
    return JudgeTask(
        task=TaskType.ABDUCTION, program=_LITERAL, inputs=("1",), outputs=("1",), answers=answers
    )


def _programs(*answers: str, pairs: int = 2) -> JudgeTask:
    texts = tuple(map(str, range(pairs)))
    return JudgeTask(task=TaskType.INDUCTION, inputs=texts, outputs=texts, answers=answers)


def _finally(depth: int) -> str:
    lines = ["def f(x):"]
    for level in range(depth):
        lines += [" " * (level + 1) + "try: x += 1", " " * (level + 1) + "finally:"]
    return "\n".join([*lines, " " * (depth + 1) + "x += 1", " return x"])


def _deep(leaves: str, differing: str = "id(n)") -> str:
    return f"v = {leaves} + [{differing}]\n    for _ in range(97): v = [v]\n    return v"


def _folds(count: int, length: int) -> str:
    parts = ",".join(f"'{10000 + number}'*{length // 5}" for number in range(count))
    return f"[{parts},a]"


ROWS: dict[str, Callable[[], Item]] = {
    "66,000 inputs": lambda: Triplet(program=_LITERAL, inputs=("1",) * 66_000),
    "66,000 answers": lambda: _inputs(*map(str, range(66_000))),
    "66,000 pairs": lambda: _programs("def f(x): return x", pairs=66_000),
    "9,000 inputs": lambda: Triplet(program=_LITERAL, inputs=tuple(map(str, range(9_000)))),
    "9,000 answers": lambda: _answers(*map(str, range(9_000))),
    "3,000 inputs to find": lambda: _inputs(*map(str, range(3_000))),
    "1,000 pairs": lambda: _programs(*(f"def f(x): return x + {n % 2}" for n in range(2)),
                                     pairs=1_000),
    "deep ints": lambda: _returns(_deep("[0] * 199_000")),
    "deep strings": lambda: _returns(_deep("['a'] * 150_000")),
    "deep sets": lambda: _returns(_deep("[set() for _ in range(190_000)]")),
    "deep dicts": lambda: _returns(_deep("[{} for _ in range(190_000)]")),
    "deep Decimals": lambda: _returns(_deep("[Decimal(1)] * 60_000")),
    "deep Counters": lambda: _returns(_deep("[Counter() for _ in range(90_000)]")),
    "differing set": lambda: _returns("return {*range(199_000), id(n)}"),
    "differing strings in a set": lambda: _returns(
        "return {*map(str, range(199_000)), str(id(n))}"),
    "differing tuples in a set": lambda: _returns(
        "return {(i, i) for i in range(60_000)} | {id(n)}"),
    "differing dict": lambda: _returns("return {i: i for i in range(99_000)} | {'a': id(n)}"),
    "sets, 8 answers": lambda: _answers(*(_SETS.format(190_000 + n) for n in range(8))),
    "sets, 30 answers": lambda: _answers(*(_SETS.format(190_000 + n) for n in range(30))),
    "sets with members": lambda: _answers(
        *(f"[{{i}} for i in range({95_000 + n})]" for n in range(4)),
        output="[{i} for i in range(95_000)] + [1.0]"),
    "sets, 8 inputs": lambda: _returns("return [set() for _ in range(190_000 + n)]", 8),
    "sets, 40 inputs": lambda: _returns("return [set() for _ in range(190_000 + n)]", 40),
    "deques": lambda: _returns("return [deque() for _ in range(49_000)]", 4),
    "dicts": lambda: _returns("return [{} for _ in range(190_000)]", 4),
    "OrderedDicts": lambda: _returns("return [OrderedDict() for _ in range(95_000)]", 4),
    "zeros in text": lambda: _returns("return chr(0) * (4_190_000 + n)", 4),
    "one long text": lambda: _returns("return 'a' * 4_190_000"),
    "surrogates": lambda: _returns("return '\\ud800' * 1_390_000"),
    "a huge int": lambda: _returns("return 1 << 30_000_000"),
    "large inputs to find": lambda: _inputs(*(f"'a' * (4_000_000 + {n})" for n in range(40))),
    "Decimals and huge ints": lambda: _answers(
        *(f"[Decimal('1E+10000')] * 900 + [{n}]" for n in range(4)),
        output="[10 ** 10000] * 900 + [5]").model_copy(
            update={"imports": ("from decimal import Decimal",)}),
    "Decimals and ints": lambda: _answers(
        "[Decimal(i) for i in range(60_000)] + [1]", output="list(range(60_000)) + [2]").model_copy(
            update={"imports": ("from decimal import Decimal",)}),
    "colliding sets": lambda: _returns(
        "m = (1 << 61) - 1\n    k = [1 + i * m for i in range(60)]\n"
        "    s = frozenset(frozenset((a, b)) for a in k[:20] for b in k)\n    return [s] * 9"),
    "folded constants": lambda: _answers(_folds(4_600, 4090)),
    "folded constants, 3 answers": lambda: _answers(*(_folds(4_600 + n, 4090) for n in range(3))),
    "many small folds": lambda: _answers(*(f"{_folds(12, 4090)}+[{n}]" for n in range(4_000))),
    "nested finally": lambda: _programs(*(f"{_finally(14)}\n#{n}" for n in range(6))),
    "finally with many ways out": lambda: _programs(
        "def f(x):\n try:\n" + "  if x: return 1\n" * 1500 + " finally:\n" + "  x += 1\n" * 3000),
    "40,000 keywords": lambda: _inputs(",".join(f"a{n}=b" for n in range(40_000))),
    "a pattern of 5,000 names": lambda: _programs(
        "def f(x):\n match x:\n  case C(" + ",".join(f"a{n}=b" for n in range(5000)) + "): pass"),
    "an f-string of 100,000 fields": lambda: _answers("f'" + "{a}" * 100_000 + "'"),
    "lambda lambda lambda": lambda: Triplet(program="lambda " * 9300, inputs=("1",)),
    "open quotes": lambda: _answers("[" * 40 + "]" * 40 + "," + "\\'''\n" * 100_000),
    "open quotes in a program": lambda: Triplet(
        program='x = """' + '\\"""' * 15_000 + "\\", inputs=("1",)),
    "a list of a megabyte": lambda: _answers("[" + "1, " * 340_000 + "]"),
    "names of a megabyte": lambda: _answers("[" + "a, " * 340_000 + "]"),
    "brackets": lambda: _answers("[" * 1_000_000),
}  # fmt: skip


def rows(only: str, files: list[Path]) -> Iterator[tuple[str, Item]]:
    """The rows, and those of files, by name."""
    for name, make in ROWS.items():
        if only in name:
            yield name, make()
    for file in files:
        for number, raw in enumerate(file.read_bytes().splitlines()):
            line = Line(number + 1, raw, len(raw))
            reader = read_judge_task if b'"answer' in raw else read_triplet
            row = reader(line, number)
            if not isinstance(row.item, Triplet | JudgeTask):
                raise SystemExit(f"{file}: {row.item}")
            yield f"{file.parent.name}/{file.stem} {row.head.get('id', number)}", row.item


async def outcome_of(executor: Executor, item: Item) -> str:
    """The statuses of a row, and how often each."""
    if isinstance(item, Triplet):
        return str((await executor.validate(item)).status)
    statuses = (await executor.judge(item)).statuses
    return ", ".join(f"{status} x {statuses.count(status)}" for status in sorted(set(statuses)))


async def measure(executor: Executor, name: str, item: Item) -> Measured:
    """Do one row alone."""
    gc.collect()
    reset_peak()
    start = time.monotonic()
    async with Holds() as holds:
        outcome = await outcome_of(executor, item)
    return Measured(name, outcome, time.monotonic() - start, holds.longest_s, peak_mib())


@asynccontextmanager
async def opened() -> AsyncIterator[Executor]:
    """An executor that judges everything anew."""
    rules = Rules(banned_modules=())
    async with Executor(workers=2, rules=rules, limits=LIMITS, cache=False) as executor:
        yield executor


async def run(
    only: str = "",
    files: list[Path] | None = None,
    tell: Callable[[Measured], None] | None = None,
) -> list[Measured]:
    """Measure all rows; after each, an honest one must be right."""
    measured = []
    async with opened() as executor:
        for name, item in rows(only, files or []):
            measured.append(await measure(executor, name, item))
            if tell is not None:
                tell(measured[-1])
            honest = await executor.validate(Triplet(program=_LITERAL, inputs=("1",)))
            if honest.status is not Status.OK:
                raise SystemExit(f"after {name} an honest row is {honest.status}: {honest.detail}")
    return measured


def broken(found: Measured) -> bool:
    """Whether a row took more than it may, or was the platform's fault."""
    return found.peak_mib > MAX_HOST_MIB or found.hold_s > MAX_HOLD_S or "infra" in found.outcome


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="rows whose name holds this word")
    parser.add_argument("--files", nargs="*", type=Path, default=[], help="rows of files, besides")
    options = parser.parse_args()
    console = Console(highlight=False, width=140)
    console.print(f"{'row':<42}{'s':>7}{'held, ms':>10}{'peak, MiB':>11}  outcome")

    def tell(row: Measured) -> None:
        console.print(
            f"{row.name:<42}{row.seconds:>7.2f}{1000 * row.hold_s:>10.1f}{row.peak_mib:>11.0f}"
            f"  {row.outcome}{'  <- too much' if broken(row) else ''}"
        )

    measured = asyncio.run(run(options.only, options.files, tell))
    console.print(
        f"longest hold {1000 * max(row.hold_s for row in measured):.1f} ms, "
        f"peak {max(row.peak_mib for row in measured):.0f} MiB"
    )
    return int(any(map(broken, measured)))


if __name__ == "__main__":
    sys.exit(main())
