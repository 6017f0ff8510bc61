"""``python -m trainer.report RUN``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer.report.page import write_report
from trainer.report.run_files import NoRun


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code: 0, or 2 if there is nothing to report."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer.report",
        description="Write RUN/report.html: plots and samples of a run, also of an unfinished one.",
    )
    parser.add_argument("run", type=Path, help="the run directory")
    parser.add_argument("--out", type=Path, help="another file to write")
    options = parser.parse_args(arguments)
    try:
        path, missing = write_report(options.run, options.out)
    except (NoRun, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(path)
    for what in missing:
        print(f"missing: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
