"""Prints what a JSON report of coverage.py says, by package: a table for Markdown."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

COUNTS = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def package(file: str) -> str:
    """The package's first two levels; a module at the top belongs to the package itself."""
    return "/".join(Path(file).parent.parts[:2])


def table(files: dict[str, dict[str, dict[str, int]]]) -> str:
    """Rows: package, lines, lines reached, and lines and branches reached together, in percent."""
    found: dict[str, Counter[str]] = {}
    for file, report in files.items():
        counts = {name: report["summary"][name] for name in COUNTS}
        found.setdefault(package(file), Counter()).update(counts)
    found["all"] = sum(found.values(), Counter())
    lines = ["| package | lines | lines reached | with branches |", "|---|---:|---:|---:|"]
    for name, total in sorted(found.items(), key=lambda item: (item[0] == "all", item[0])):
        reached = total["covered_lines"] / max(1, total["num_statements"])
        both = total["covered_lines"] + total["covered_branches"]
        possible = total["num_statements"] + total["num_branches"]
        share = both / max(1, possible)
        lines.append(f"| `{name}` | {total['num_statements']:,} | {reached:.0%} | {share:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text())["files"]))
