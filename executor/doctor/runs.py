"""Probes of what lies between runs: they differ where they should, and leave nothing behind."""

from __future__ import annotations

import secrets

from executor.doctor.base import Probe, Step, ends, fixed, program, says, script
from executor.doctor.canaries import Canaries
from executor.models import Status

_LOOKS = 3
_HARNESS = "this is the harness's own doing, on every host: please report it (SECURITY.md)"

_TAMPERING = """\
import builtins, math, sys
builtins.len = builtins.sorted = lambda *_: 7
math.pi = 3
sys.path[:] = []
sys.modules.pop('json', None)
"""


def _leftovers_of_programs() -> tuple[Step, ...]:
    look = ("import math", "return len('ab'), sorted([2, 1]), math.floor(math.pi * 100)")
    steps = []
    for _ in range(_LOOKS):
        steps.append(program("return 1", head=_TAMPERING, expect=None))
        steps.append(program(*look, expect=says("(2, [1, 2], 314)")))
    return tuple(steps)


def _leftovers_of_scripts(_: Canaries) -> tuple[Step, ...]:
    name = f"executor-probe-{secrets.token_hex(8)}"
    return (
        script(_leave(name), expect=ends(Status.OK)),
        *(script(_look(name), expect=says("[]")) for _ in range(_LOOKS)),
    )


def _leave(name: str) -> str:
    """A script that leaves files and a process of this name behind."""
    return f"""\
import os, socket, time
for place in ('.', '/tmp', '/dev/shm'):
    try:
        with open(os.path.join(place, {name!r}), 'x') as file:
            file.write('left over')
    except OSError:
        pass
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind('\\0{name}')
        listener.listen()
        os.close(0); os.close(1); os.close(2)
        time.sleep(5)
    os._exit(0)
os.wait()
time.sleep(0.05)
"""


def _look(name: str) -> str:
    """A script that prints a list of what it finds of that."""
    return f"""\
import os, socket
found = []
for place in ('.', '/tmp', '/dev/shm'):
    path = os.path.join(place, {name!r})
    if os.path.exists(path):
        found.append(path)
        os.unlink(path)
try:
    socket.socket(socket.AF_UNIX).connect('\\0{name}')
    found.append('a process')
except OSError:
    pass
print(found)
"""


_FORGERY = (
    "import os, stat",
    "for number in range(3, 64):",
    "    try:",
    "        if stat.S_ISFIFO(os.fstat(number).st_mode): os.write(number, bytes(64))",
    "    except OSError: pass",
    "os._exit(0)",
)

PROBES = (
    Probe(
        "hash-seeds",
        "whether a program can tell its runs apart by the hash of a text, or the order of a set",
        fixed(
            program("return hash('a text')", expect=ends(Status.NONDETERMINISTIC)),
            program(
                "return list({str(n) for n in range(50)})", expect=ends(Status.NONDETERMINISTIC)
            ),
        ),
        _HARNESS,
    ),
    Probe(
        "clocks",
        "whether a program can tell its runs apart by today's date",
        fixed(
            program(
                "import datetime",
                "return datetime.date.today().isoformat()",
                expect=ends(Status.NONDETERMINISTIC),
            )
        ),
        "the guest's compiled core is missing: install a C compiler, then this package again",
    ),
    Probe(
        "forged-results",
        "to write a result of its own, and to end",
        fixed(program(*_FORGERY, expect=ends(Status.CRASHED))),
        _HARNESS,
    ),
    Probe(
        "leftovers",
        "to change builtins and modules, for the next program to find",
        fixed(*_leftovers_of_programs()),
        _HARNESS,
    ),
    Probe(
        "script-leftovers",
        "to leave files in all writable places and a process, for the next script to find",
        _leftovers_of_scripts,
        "the backend must give every script a fresh sandbox, and end all that is in it",
    ),
)
