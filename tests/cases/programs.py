"""Programs that end badly or do harm, however they are run, and what must come of them."""

from __future__ import annotations

from executor import Status
from tests.support.programs import body

ENDINGS = {
    "os._exit": (body("import os", "os._exit(0)"), Status.CRASHED),
    "abort": (body("import os", "os.abort()"), Status.CRASHED),
    "a closed result": (
        body(
            "import os",
            "for number in range(64):",
            "    try: os.close(number)",
            "    except OSError: pass",
            "while True: pass",
        ),
        Status.CRASHED,
    ),
    "endless recursion": (body("return f(x)"), Status.ERROR),
    "an endless loop": (body("while True: pass"), Status.CPU_LIMIT),
    "ignored signals": (
        body(
            "import signal",
            "for number in {*signal.valid_signals()} - {9, 19}:",
            "    signal.signal(number, signal.SIG_IGN)",
            "while True: pass",
        ),
        Status.CPU_LIMIT,
    ),
    "an endless sleep": (body("import time", "time.sleep(99)"), Status.WALL_LIMIT),
    "an alarm": (body("import signal, time", "signal.alarm(1)", "time.sleep(99)"), Status.CRASHED),
    "a large allocation": (body("return len(bytearray(1 << 34))"), Status.MEMORY_LIMIT),
    "memory bit by bit": (
        body("a = []", "while True: a.append(bytes(1 << 20))"),
        Status.MEMORY_LIMIT,
    ),
    "a large value": (body("return 'x' * (1 << 20)"), Status.OUTPUT_LIMIT),
    "a generator": (body("return (i for i in range(3))"), Status.UNSERIALIZABLE),
    "a cycle": (body("a = []", "a.append(a)", "return a"), Status.UNSERIALIZABLE),
}
"""How a run ends under 1 s of CPU, some seconds in all, 256 MiB or less and 256 KiB of output."""

TAMPERING = {
    "builtins": "import builtins\nbuiltins.len = builtins.sorted = lambda *_: 7",
    "a module": "import math\nmath.pi = 3\nmath.floor = lambda _: 7",
    "the import system": "import sys\nsys.modules.clear()\nsys.path[:] = []\nsys.meta_path[:] = []",
    "the interpreter's limits": "import sys\nsys.setrecursionlimit(10**6)\nsys.settrace(print)",
    "garbage collection": "import gc\ngc.unfreeze()\ngc.collect()",
}
"""What changes the interpreter that it runs in; the next run must not notice."""
