"""An evaluation of texts that exist: how long judging them takes, and what memory the host needs.

    python -m benchmarks.evaluation [--data ../shared/data/grading] [--texts 2000] [--workers N]

The texts are solutions and mutants of HumanEval and MBPP+, each with a comment of its own: equal
answers would be judged once. The whole command runs in this process, with the report; the memory
is that of this process, sampled by thread, as the largest of each tenth of the time.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path

import psutil

from benchmarks.known_programs import Known, known
from trainer.cli.app import main as trainer

_MIB = 1 << 20
_PARTS = 10


def write(folder: Path, problems: list[Known], texts: int) -> Path:
    """The benchmarks' files, and one of texts; returns the path of the latter."""
    for benchmark, name in (("humaneval", "HumanEval"), ("mbpp_plus", "MbppPlus")):
        rows = [problem.row for problem in problems if problem.benchmark == benchmark]
        _lines(folder / f"{name}.jsonl", rows)
    shares = [texts // len(problems) + (at < texts % len(problems)) for at in range(len(problems))]
    rows = [
        {
            "benchmark": problem.benchmark,
            "id": problem.id,
            "texts": [
                f"```python\n{program}\n# text {number}\n```"
                for number, program in enumerate(islice(cycle(problem.programs), share))
            ],
        }
        for problem, share in zip(problems, shares, strict=True)
    ]
    return _lines(folder / "texts.jsonl", rows)


def _lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Memory:
    """Samples what this process has in memory, in MiB."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._over.wait(0.1):
            self.samples.append(process.memory_info().rss / _MIB)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def parts(self) -> list[float]:
        """The largest sample of each tenth of the time."""
        size = max(1, -(-len(self.samples) // _PARTS))
        return [max(self.samples[at : at + size]) for at in range(0, len(self.samples), size)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/grading"))
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = write(folder, known(options.data), options.texts)
        arguments = [
            *("evaluate", "--benchmarks", "humaneval,mbpp_plus", "--generations", str(given)),
            *("--data", str(folder), "--out", str(folder / "run")),
            *(("--workers", str(options.workers)) if options.workers else ()),
        ]
        started, used = time.monotonic(), time.process_time()
        with Memory() as memory:
            code = trainer(arguments)
        seconds, host = time.monotonic() - started, time.process_time() - used
    guests = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    listed = " ".join(f"{part:.0f}" for part in memory.parts())
    print(f"{options.texts} texts in {seconds:.1f} s")
    print(f"processor time: the host {host:.1f} s, sandboxes {guests:.1f} s")
    print(f"the host's memory, MiB, by tenths of the time: {listed}")
    return code


if __name__ == "__main__":
    sys.exit(main())
