"""Scripts of several probes in one run: where each takes a container, most of the time is theirs.

One after the other they run in one process, each with variables of its own. What each printed is
for its own probe to judge. What is not told (a script raised an error, or ended the whole run) has
to be found out alone: no probe can spoil another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

from executor.models import Script, ScriptResult, Status

_DRIVER = files("executor.doctor").joinpath("combined_driver.py").read_text("utf-8")


def together(scripts: Mapping[str, Script]) -> Script:
    """One script that runs these scripts in Python, which have names."""
    sources = {name: script.source for name, script in scripts.items()}
    return Script(source=_DRIVER, stdin=json.dumps(sources))


def told(result: ScriptResult) -> dict[str, str]:
    """The output of each script that came to its end, by name."""
    if result.status is not Status.OK:
        return {}
    try:
        found = json.loads(result.stdout)
    except ValueError:
        return {}
    return {str(name): str(text) for name, text in found.items()} if type(found) is dict else {}
