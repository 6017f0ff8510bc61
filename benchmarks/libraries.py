"""What a library set costs: its size, its start, its memory, and runs of programs that use it.

    python -m benchmarks.libraries [--set data] [--runs 400]

The set must be built. Processor time of a run is what the executor says of it; memory is what the
processes of one kind of guest share with nobody.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import psutil

from executor import Limits, Script, SyncExecutor, Triplet
from executor.backends.image.build import cache_directory
from executor.backends.image.library_store import open_library

PROGRAMS = {
    "no import": "def f(x):\n    return [x * n for n in range(10)]",
    "numpy": "import numpy as np\ndef f(x):\n    return int((np.arange(100) * x).sum())",
    "numpy, linear algebra": (
        "import numpy as np\ndef f(x):\n    return np.linalg.inv(np.eye(20) * (x + 1)).sum().item()"
    ),
    "pandas": (
        "import pandas as pd\ndef f(x):\n"
        "    return pd.DataFrame({'k': [1, 1, 2], 'v': [x, 1, 2]}).groupby('k').v.sum().tolist()"
    ),
    "sympy": "import sympy\ndef f(x):\n    return str(sympy.factorint(x + 1000))",
}
SCRIPT = "import numpy as np\nprint(np.arange(5).sum())\n"
LIMITS = Limits(wall_s=60, cpu_s=20, memory_mib=1024)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="data", help="a library set that is built")
    parser.add_argument("--runs", type=int, default=400, help="of each program")
    options = parser.parse_args()
    manifest = open_library(cache_directory(), options.set).manifest
    print(f"{manifest.label}: {manifest.size_bytes / 2**20:.0f} MiB in {cache_directory()}")
    for round_ in ("first start (its images are built if they are not)", "cold start"):
        begun = time.monotonic()
        with SyncExecutor(libraries=options.set, workers=2, limits=LIMITS) as executor:
            begun = time.monotonic() - begun
            print(f"{round_}: {begun:.2f} s")
            if round_ == "cold start":
                _programs(executor, options.runs)
                _memory()


def _programs(executor: SyncExecutor, runs: int) -> None:
    for name, program in PROGRAMS.items():
        triplets = (Triplet(program=program, inputs=(str(n),)) for n in range(runs // 2))
        verdicts = list(executor.validate_many(triplets))
        bad = [verdict.detail for verdict in verdicts if not verdict.valid]
        used = sorted(verdict.usage.cpu_ms / 2 for verdict in verdicts)  # two runs or more
        print(
            f"{name}: {statistics.median(used):.2f} ms of processor time a run, "
            f"{used[int(len(used) * 0.95)]:.2f} ms at the 95th percentile"
            + (f"; {len(bad)} not valid: {bad[0]}" if bad else "")
        )
    scripts = [executor.run(Script(source=SCRIPT)) for _ in range(min(runs, 20))]
    cpu = statistics.median(result.usage.cpu_ms for result in scripts)
    print(f"script with numpy: {cpu:.2f} ms, {scripts[0].status}")


def _guests() -> Iterator[tuple[str, psutil.Process]]:
    for process in psutil.Process().children(recursive=True):
        words = process.cmdline()
        for role in ("zygote", "script", "parser"):
            if role in words:
                preloads = any(word.startswith("preload=") for word in words)
                yield f"{role}{' with libraries' if preloads else ''}", process


def _memory() -> None:
    found: dict[str, list[float]] = {}
    for kind, process in _guests():
        found.setdefault(kind, []).append(process.memory_full_info().uss / 2**20)
    for kind, sizes in sorted(found.items()):
        print(f"{kind}: {len(sizes)} processes, {statistics.mean(sizes):.0f} MiB unshared each")


if __name__ == "__main__":
    main()
