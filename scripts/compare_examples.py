"""Compare results with what the example rows expect (their ``expected`` key is carried along).

Arguments: files that ``python -m executor`` made of the example files.
Exit status 1 if any row came out differently.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def unexpected(result_file: Path) -> list[str]:
    """A sentence for every row whose result is not the expected one."""
    rows = [json.loads(line) for line in result_file.read_text(encoding="utf-8").splitlines()]
    found = []
    for row in rows:
        got = {key: row.get(key) for key in row["expected"]}
        if got != row["expected"]:
            found.append(f"  {row['id']}: expected {row['expected']}, got {got}")
    print(f"{result_file}: {len(rows) - len(found)} of {len(rows)} rows as expected")
    return found


def main() -> int:
    """Compare all files named on the command line."""
    found = [sentence for name in sys.argv[1:] for sentence in unexpected(Path(name))]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
