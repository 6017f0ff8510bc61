"""Bombs: a batch of small sound programs, with a hostile one in a hundred.

    python -m benchmarks.bombs [--rows 10000] [--every 100]

Every other verdict must be what it is without the bombs, every bomb must end with its own status,
and the memory of the host process must stay small. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Self

import psutil
from rich.console import Console

from executor import Limits, Rules, Status, SyncExecutor, Triplet, Verdict

MAX_HOST_MIB = 200
LIMITS = Limits(cpu_s=1, wall_s=2, memory_mib=128)
RULES = Rules(banned_modules=())

_TOO_LONG = frozenset({Status.CPU_LIMIT, Status.WALL_LIMIT})  # which comes first is the load's


class Bomb(NamedTuple):
    """A hostile program and how it may end."""

    program: str
    statuses: frozenset[Status]


def _bomb(lines: str, *statuses: Status) -> Bomb:
    return Bomb("def f(x):\n    " + lines.replace("\n", "\n    "), frozenset(statuses))


BOMBS = {
    "endless loop": _bomb("while True: pass", *_TOO_LONG),
    "sleep": _bomb("import time\ntime.sleep(1000)", Status.WALL_LIMIT),
    "memory": _bomb("a = []\nwhile True: a.append(bytes(1 << 24))", Status.MEMORY_LIMIT),
    "fork": _bomb("import os\nwhile True: os.fork()", Status.FORBIDDEN),
    "huge output": _bomb("return 'x' * (64 << 20)", Status.OUTPUT_LIMIT),
    "deep recursion": _bomb("g = lambda n: g(n + 1)\nreturn g(0)", Status.ERROR),
    "os._exit": _bomb("import os\nos._exit(0)", Status.CRASHED),
    "closed descriptors": _bomb(
        "import os\nfor fd in range(64):\n    try: os.close(fd)\n    except OSError: pass\n"
        "while True: pass",
        Status.CRASHED,
    ),
    "SIGSTOP": _bomb("import os\nos.kill(os.getpid(), 19)", Status.FORBIDDEN),
    "kill everything": _bomb("import os\nos.kill(-1, 9)", Status.FORBIDDEN),
    "print flood": _bomb("while True: print('x' * 65536)", *_TOO_LONG),
    "regular expression": _bomb("import re\nreturn re.match('(a+)+$', 'a' * 64 + 'b')", *_TOO_LONG),
}


class Row(NamedTuple):
    """A row of the batch and what must become of it."""

    triplet: Triplet
    bomb: str | None
    output: str | None

    def is_right(self, verdict: Verdict) -> bool:
        """Whether the verdict is the one that this row must get."""
        if self.bomb is not None:
            return verdict.status in BOMBS[self.bomb].statuses
        return verdict.status is Status.OK and verdict.outputs == (self.output,)


def _honest(number: int) -> Row:
    """One of four kinds of small programs, none of them like another."""
    program, output = (
        (f"def f(x):\n    return sum(range(x)) + {number}", str(45 + number)),
        (f"def f(x):\n    return [i * {number} for i in range(x)][-1:]", f"[{9 * number}]"),
        (f"import math\ndef f(x):\n    return math.comb(x, 2) * {number}", str(45 * number)),
        (f"def f(x):\n    return {{'n{number}': str(x)}}", f"{{'n{number}': '10'}}"),
    )[number % 4]
    return Row(Triplet(program=program, inputs=("10",)), None, output)


def rows(count: int, every: int) -> Iterator[Row]:
    """The batch: every ``every``-th row is a bomb, the kinds by turns."""
    names = list(BOMBS)
    for number in range(count):
        if number % every == every - 1:
            name = names[number // every % len(names)]
            program = f"{BOMBS[name].program}\n# {number}"
            yield Row(Triplet(program=program, inputs=("10",)), name, None)
        else:
            yield _honest(number)


class PeakMemory:
    """The most resident memory of this process while the context is open, in MiB."""

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self.before = self.peak = self._now()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _now(self) -> float:
        return float(self._process.memory_info().rss) / 2**20

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self._now())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak = max(self.peak, self._now())


class Outcome(NamedTuple):
    """What became of a batch."""

    wrong: list[str]
    statuses: Counter[tuple[str, Status]]
    seconds: float
    memory: PeakMemory


def run(count: int, every: int) -> Outcome:
    """Validate the batch."""
    batch = list(rows(count, every))
    wrong: list[str] = []
    statuses: Counter[tuple[str, Status]] = Counter()
    with SyncExecutor(limits=LIMITS, rules=RULES) as executor, PeakMemory() as memory:
        start = time.perf_counter()
        missing = dict(enumerate(batch))
        # As they finish: in row order each bomb would hold back a whole window of rows.
        for verdict in executor.validate_many((row.triplet for row in batch), ordered=False):
            row = missing.pop(verdict.index)
            statuses[row.bomb or "honest", verdict.status] += 1
            if not row.is_right(verdict):
                kind = row.bomb or "honest"
                wrong.append(f"row {verdict.index} ({kind}): {verdict.status}: {verdict.detail}")
        wrong += [f"row {number}: lost" for number in missing]
        seconds = time.perf_counter() - start
    return Outcome(wrong, statuses, seconds, memory)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=100, help="one bomb in so many rows")
    options = parser.parse_args()
    console = Console(highlight=False, width=140)
    outcome = run(options.rows, options.every)
    rate = options.rows / outcome.seconds
    console.print(f"{options.rows} rows in {outcome.seconds:.1f} s: {rate:.0f} rows/s")
    for (kind, status), count in sorted(outcome.statuses.items()):
        console.print(f"{kind:>20}: {count:6} {status}")
    memory = outcome.memory
    console.print(
        f"host process: {memory.peak:.0f} MiB resident at most, {memory.before:.0f} MiB before"
    )
    console.print(f"wrong verdicts: {len(outcome.wrong)}")
    for line in outcome.wrong[:20]:
        console.print(f"  {line}", markup=False)
    return int(bool(outcome.wrong) or memory.peak > MAX_HOST_MIB)


if __name__ == "__main__":
    sys.exit(main())
