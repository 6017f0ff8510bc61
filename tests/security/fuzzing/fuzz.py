"""Fuzzes what faces hostile bytes in the host, guided by coverage.

``python -m tests.security.fuzzing [--seconds 600] [--target frames|values|answers|compare]``

Each target of ``targets.py`` starts from its inputs in ``corpus/``. Inputs that reach
something new are put there (unless ``--no-save``), and so are inputs that break a promise, as
``crash-...``: from then on the tests fail until it is mended. The exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.security.fuzzing.registry import ABOUT, CORPUS, About

ROOT = Path(__file__).parents[3]
TARGETS = tuple(ABOUT)

_INPUT_SECONDS = 60  # on a machine that does other work too
_MEMORY_MIB = 2048
_GRACE_S = 120


@dataclass
class Report:
    """What the fuzzing of one target came to."""

    target: str
    executions: int = 0
    per_second: int = 0
    edges: int = 0
    failure: str = ""
    crashes: list[Path] = field(default_factory=list)
    added: int = 0
    modules: dict[str, list[int]] = field(default_factory=dict)


def _escaped(word: str) -> str:
    """A word of a dictionary as libFuzzer reads it, which knows no escape but of bytes."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}"
        for byte in word.encode()
    )


def fuzz(
    target: str, seconds: int, found: Path, module: str = "tests.security.fuzzing.targets"
) -> Report:
    """Fuzz one target; what is new comes into ``found``, what breaks a promise is in the report."""
    crashes = found.with_name(f"{target}.crashes")
    known = CORPUS / target
    for directory in (found, crashes):
        directory.mkdir()
    about = ABOUT.get(target, About((), 100))
    words = found.with_name(f"{target}.words")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in about.words))
    command = [
        sys.executable, "-m", "tests.security.fuzzing.child", module, target,
        f"-max_total_time={seconds}", f"-max_len={about.longest}",
        f"-timeout={_INPUT_SECONDS}", f"-rss_limit_mb={_MEMORY_MIB}", "-print_final_stats=1",
        "-report_slow_units=1000000",  # only the limit above counts
        f"-artifact_prefix={crashes}/", *([f"-dict={words}"] if about.words else []),
        str(found), *([str(known)] if known.is_dir() else []),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", check=False, timeout=seconds + _GRACE_S,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    report = Report(target, crashes=sorted(crashes.iterdir()))
    report.executions = _number(r"stat::number_of_executed_units:\s+(\d+)", done.stdout)
    report.per_second = _number(r"stat::average_exec_per_sec:\s+(\d+)", done.stdout)
    report.edges = _number(r"cov: (\d+)", done.stdout)
    if done.returncode or report.crashes or not report.executions:
        report.failure = _told(done.stdout)
    return report


def _number(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def _told(log: str) -> str:
    """The part of the log that says what went wrong."""
    start = log.find(" === Uncaught Python exception: ===")
    return log[start:][:4000] if start >= 0 else log[-2000:]


def _replay(report: Report, found: Path, save: bool) -> None:
    """Measure what all inputs reach together, and keep those that reach something new."""
    known = CORPUS / report.target
    known.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.fuzzing.replay", report.target, known, found],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=1200,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    answer = json.loads(done.stdout)
    report.modules = answer["modules"]
    for path in map(Path, answer["keep"]) if save else ():
        shutil.copyfile(path, known / path.name[:16])
        report.added += 1


def _run(target: str, seconds: int, directory: Path, save: bool) -> Report:
    found = directory / target
    report = fuzz(target, seconds, found)
    if report.failure:
        for crash in report.crashes:
            shutil.copyfile(crash, CORPUS / target / crash.name[:30])
    elif save:
        _replay(report, found, save)
    return report


def _print(reports: list[Report]) -> None:
    print(f"{'target':<9}{'executions':>11}{'per s':>8}{'edges':>7}{'added':>7}  reached")
    for report in reports:
        reached = ", ".join(
            f"{name.removeprefix('executor/')} {100 * have / of:.0f} %"
            for name, (have, of) in report.modules.items()
        )
        print(
            f"{report.target:<9}{report.executions:>11,}{report.per_second:>8,}{report.edges:>7,}"
            f"{report.added:>7}  {reached}"
        )
    for report in reports:
        if report.failure:
            print(f"\n{report.target} FAILED\n{report.failure}")
        for crash in report.crashes:
            print(f"broken by corpus/{report.target}/{crash.name[:30]}: {crash.read_bytes()!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=60, help="in all, on the clock")
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--jobs", type=int, default=min(len(TARGETS), os.cpu_count() or 1))
    parser.add_argument("--no-save", action="store_true", help="add no inputs to the corpus")
    options = parser.parse_args()
    targets = options.target or TARGETS
    jobs = min(options.jobs, len(targets))
    each = max(1, options.seconds * jobs // len(targets))
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(jobs) as threads:
        reports = list(
            threads.map(
                lambda target: _run(target, each, Path(directory), not options.no_save), targets
            )
        )
        _print(reports)
    return int(any(report.failure for report in reports))
