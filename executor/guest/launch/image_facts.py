"""Says what an image holds, as JSON on standard output; arguments: patterns of guest sources."""

import glob
import hashlib
import json
import os
import platform
import sys

ROOT = "/guest/executor/"
PROGRAMS = {"bash": "/bin/bash", "pytest": "/py/lib/python3.12/site-packages/pytest"}
LIBRARIES = "/py/lib/libraries.json"


def digest(patterns: list[str]) -> str:
    """Hash of the guest's sources."""
    found = hashlib.sha256()
    paths = (path for pattern in patterns for path in glob.glob(ROOT + pattern))
    for path in sorted(path[len(ROOT) :] for path in paths):
        with open(ROOT + path, "rb") as file:
            found.update(path.encode() + b"\0" + file.read())
    return found.hexdigest()


def library() -> "dict[str, object] | None":
    """The library set inside: how verdicts name it, and what guests import beforehand."""
    if not os.path.exists(LIBRARIES):
        return None
    with open(LIBRARIES, encoding="utf-8") as file:
        manifest = json.load(file)
    label = f"{manifest['name']}-{manifest['digest']}"
    return {"label": label, "preload": manifest["preload"]}


def main() -> None:
    """Write the facts."""
    facts = {
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}",
        "guest": digest(sys.argv[1:]),
        "core": next(iter(glob.glob(ROOT + "guest/_core*.so")), None),
        "ctypes": glob.glob("/py/lib/python3.12/lib-dynload/_ctypes*.so"),
        "languages": ["python", *(name for name, path in PROGRAMS.items() if os.path.exists(path))],
        "library": library(),
    }
    data = json.dumps(facts).encode()
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
