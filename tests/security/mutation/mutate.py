"""Shows that tests notice it when a protection is off.

``python -m tests.security.mutation [--only WORD]... [--list]``

Each mutation of ``mutations.py`` is made in a copy of the tree, in a temporary directory,
with guest images of its own; the checkout is never touched. Then a control runs, which must pass
(honest programs work all the same), and the tests that should notice. The one that fails is run
again without the mutation, and must pass. The exit code is 1 if a protection is not noticed, if the
control fails, or if a mutation does not fit the source any more.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.security.cases.base import all_cases
from tests.security.mutation.anchors import NoPlace, find
from tests.security.mutation.mutations import GAPS, MUTATIONS, Change, Mutation

ROOT = Path(__file__).parents[3]
COPIED = ("executor", "tests", "benchmarks", "scripts", "docs", "sandbox_images", "pyproject.toml")
CONTROL = f"tests/{GAPS}::test_an_honest_program_and_an_honest_script_run"
TIMEOUT_S = 600

_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".pytest_cache", "corpus.*", "*.pyc")
_FAILED = re.compile(r"^(?:FAILED|ERROR) tests/(\S.*?)(?: - .*)?$", re.MULTILINE)


class Result(NamedTuple):
    """What came of one mutation."""

    mutation: Mutation
    noticed_by: str
    problem: str
    seconds: float


class Broken(Exception):
    """A mutation that cannot be made."""


def changed(text: str, change: Change) -> str:
    """The source with a change made. Raises :exc:`NoPlace`."""
    start, end = find(change.file, text, change.within, change.old)
    return text[:start] + change.new + text[end:]


def copy_tree(target: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=_NOT_COPIED)
        else:
            shutil.copy(source, target / name)


@contextmanager
def mutated(tree: Path, mutation: Mutation) -> Iterator[None]:
    """The tree with the mutation, as long as the context lasts."""
    before: dict[Path, bytes] = {}
    try:
        for change in mutation.changes:
            path = tree / "executor" / change.file
            text = changed(path.read_text(), change)
            before.setdefault(path, path.read_bytes())
            path.write_text(text)
        if any(path.suffix in {".c", ".h"} for path in before):
            for library in (tree / "executor/guest").glob("_core*.so"):
                before.setdefault(library, library.read_bytes())
                compile_core(library.parent / "core", library)
        yield
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def compile_core(sources: Path, library: Path) -> None:
    include = sysconfig.get_paths()["include"]
    command = ["cc", "-shared", "-fPIC", "-O2", "-fno-plt", f"-I{include}"]
    library.unlink()  # jails may still have the old one mapped
    done = subprocess.run(
        [*command, *sources.glob("*.c"), "-o", library], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Broken(f"the core does not compile: {done.stderr[:500]}")


def tests_of(mutation: Mutation) -> list[str]:
    attacks = "tests/security/test_attacks.py::test_attack_gains_nothing"
    return [f"tests/{test}" for test in mutation.tests] + [
        f"{attacks}[nsjail-{category_of(name)}-{name}]" for name in mutation.attacks
    ]


def category_of(attack: str) -> str:
    return {case.name: case.category for case in all_cases()}[attack]


def run_tests(tree: Path, tests: list[str]) -> tuple[int, str]:
    """Exit code of pytest, and what it says. The first failure is the last test."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider",
               "--tb=line", "--no-header", CONTROL, *tests]  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": str(tree), "EXECUTOR_CACHE": str(tree / "images"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return -1, f"no end after {TIMEOUT_S} s"
        return process.returncode, output


def check(tree: Path, mutation: Mutation) -> Result:
    started = time.monotonic()
    noticed_by = problem = ""
    try:
        tests = tests_of(mutation)
        with mutated(tree, mutation):
            code, output = run_tests(tree, tests)
        failed = _FAILED.search(output)
        if code == 0:
            problem = "NOT NOTICED"
        elif code != 1 or failed is None:
            problem = f"pytest ended with {code}: {output[-1500:]}"
        elif f"tests/{failed[1]}" == CONTROL and mutation.essential:
            noticed_by = f"nothing runs: {failed[1]}"
        elif f"tests/{failed[1]}" == CONTROL:
            problem = f"the control fails: {output[-1500:]}"
        else:
            noticed_by = failed[1]
        if noticed_by and run_tests(tree, [f"tests/{failed[1]}"] if failed else [])[0] != 0:
            noticed_by, problem = "", f"fails without the mutation too: {noticed_by}"
    except (Broken, NoPlace) as error:
        problem = str(error)
    return Result(mutation, noticed_by, problem, time.monotonic() - started)


def row(result: Result) -> str:
    told = result.noticed_by or result.problem
    about = result.mutation
    return f"| {about.name} | {about.what} | {told} | {result.seconds:.0f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", action="append", default=[], help="part of a mutation's name")
    parser.add_argument("--list", action="store_true", help="say what there is, and do nothing")
    options = parser.parse_args()
    wanted = [
        mutation
        for mutation in MUTATIONS
        if not options.only or any(word in mutation.name for word in options.only)
    ]
    if options.list:
        print("\n".join(f"{each.name}: {each.what}" for each in wanted))
        return 0
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        tree = Path(directory)
        tree.chmod(0o755)  # jails look for their image below it
        copy_tree(tree)
        print(
            "| protection | switched off | test that noticed | s |\n|---|---|---|---|", flush=True
        )
        results = []
        for mutation in wanted:
            results.append(check(tree, mutation))
            print(row(results[-1]), flush=True)
    bad = [result for result in results if result.problem]
    print(f"\n{len(results) - len(bad)} of {len(results)} protections are noticed")
    return int(bool(bad))
