"""What is asked of programs can be set on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.cli.app import main

LONG = "def f(x):\n    return x\n" + "# comment\n" * 7_000
DEEP = "def f(x):\n    return " + "g(" * 120 + "x" + ")" * 120 + " if x is None else x"
FLAT = "def f(x):\n    return len(" + " + ".join(["'a'"] * 140) + ") + x"


def row_file(folder: Path, command: str, program: str) -> Path:
    row: dict[str, object] = {"program": program, "input": "1"}
    if command == "judge":
        row = {"task": "induction", "inputs": ["1"], "outputs": ["1"], "answers": [program]}
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    return file


@pytest.mark.parametrize("command", ["verify", "judge"])
@pytest.mark.parametrize(
    ("program", "option"),
    [(LONG, ("--max-source-bytes", "100000")), (DEEP, ("--max-depth", "150"))],
    ids=["long", "deep"],
)
def test_bounds_of_programs_have_options(
    command: str, program: str, option: tuple[str, str], tmp_path: Path
) -> None:
    file, out = row_file(tmp_path, command, program), tmp_path / "out.jsonl"
    seen = []
    for options in ((), option):
        arguments = [command, str(file), "--out", str(out), "--workers", "1", "--quiet", *options]
        assert main(arguments) in (0, 1)
        told = json.loads(out.read_text())
        seen.append(told["statuses"][0] if command == "judge" else told["status"])
    assert seen == ["screened", "ok"]


def test_a_long_sum_passes_by_default(tmp_path: Path) -> None:
    file, out = row_file(tmp_path, "verify", FLAT), tmp_path / "out.jsonl"
    assert main(["verify", str(file), "--out", str(out), "--workers", "1", "--quiet"]) == 0
    assert json.loads(out.read_text())["outputs"] == ["141"]


@pytest.mark.parametrize("option", [("--max-depth", "0"), ("--max-depth", "999")])
def test_bounds_out_of_range_are_refused(option: tuple[str, str], tmp_path: Path) -> None:
    assert main(["verify", str(row_file(tmp_path, "verify", FLAT)), *option]) == 2
