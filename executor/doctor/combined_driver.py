"""Runs several scripts, one after the other, inside a sandbox. The host only sends this text.

Standard input: JSON, sources by name. Standard output: JSON, what each printed, by name.
"""

import contextlib
import io
import json
import sys


def printed(source: str) -> str | None:
    """The output of a script; ``None`` if it raises an error."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            exec(source, {"__name__": "__main__"})
    except Exception:
        return None
    return output.getvalue()


def main() -> None:
    """Run them all."""
    found = {name: printed(source) for name, source in json.load(sys.stdin).items()}
    print(json.dumps({name: text for name, text in found.items() if text is not None}))


if __name__ == "__main__":
    main()
