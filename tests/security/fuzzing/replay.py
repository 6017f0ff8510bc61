"""Replays inputs of a target under coverage: ``TARGET DIRECTORY [DIRECTORY OF NEW ONES]``.

Prints a JSON object: how much of the modules that the target is about was reached, and which of the
new inputs reach what the inputs before them did not.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

import coverage

from tests.security.fuzzing.registry import ABOUT, EXECUTOR

Arc = tuple[str, tuple[int, int]]


def inputs_of(directory: Path) -> list[Path]:
    """The inputs of a directory: the small ones first, so that they are the ones kept."""
    return sorted(directory.iterdir(), key=lambda path: (path.stat().st_size, path.name))


def main(name: str, known: Path, new: Path | None) -> None:
    modules = ABOUT[name].modules
    included = [str(EXECUTOR.joinpath(*module.split("."))) + ".py" for module in modules]
    measured = coverage.Coverage(data_file=None, branch=True, include=included)
    inputs = [*inputs_of(known), *(inputs_of(new) if new else [])]
    measured.start()
    from tests.security.fuzzing.targets import TARGETS

    for number, path in enumerate(inputs):
        measured.switch_context(str(number))
        TARGETS[name](path.read_bytes())
    measured.stop()
    seen: set[Arc] = set()
    keep = []
    for number, path in enumerate(inputs):
        arcs = _arcs(measured, number) - seen
        if arcs and path.parent == new:
            keep.append(str(path))
        seen |= arcs
    print(json.dumps({"modules": _figures(measured), "keep": keep}))


def _arcs(measured: coverage.Coverage, number: int) -> set[Arc]:
    data = measured.get_data()
    data.set_query_context(str(number))
    return {(file, arc) for file in data.measured_files() for arc in data.arcs(file) or ()}


def _figures(measured: coverage.Coverage) -> dict[str, list[int]]:
    """By module: lines and branches reached, and all of them."""
    measured.get_data().set_query_contexts(None)
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        measured.json_report(outfile=file.name)
        report = json.load(file)
    found = {}
    for path, about in report["files"].items():
        total = about["summary"]
        found["executor/" + path.partition("executor/")[2]] = [
            total["covered_lines"] + total["covered_branches"],
            total["num_statements"] + total["num_branches"],
        ]
    return found


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, io.StringIO()
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None)
    finally:
        out.write(sys.stdout.getvalue())
        sys.stdout = out
