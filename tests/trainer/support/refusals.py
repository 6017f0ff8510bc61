"""Commands that are expected to be refused, in one process: importing transformers takes long.

Reads a command's arguments as a JSON list per line; answers with a JSON object per line.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback

from trainer.cli.app import main


def run(arguments: list[str]) -> dict[str, object]:
    """Run a command; what it returned and printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code = main(arguments)
        except BaseException:
            code = 1
            traceback.print_exc()
    return {"code": code, "output": printed.getvalue()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
