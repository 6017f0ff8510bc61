"""Helpers of the tests of programs that are judged by tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GRADING = Path(__file__).parents[3] / "shared/data/grading"

CHEATS = {
    "returns None": "def {f}(*args, **kwargs):\n    return None",
    "os._exit": "import os\ndef {f}(*args, **kwargs):\n    os._exit(0)",
    "os._exit as it is loaded": "import os\nos._exit(0)",
    "sys.exit": "import sys\ndef {f}(*args, **kwargs):\n    sys.exit(0)",
    "equals everything": """
class Any:
    def yes(self, *_): return True
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = yes
    def zero(self, *_): return 0
    __hash__ = __abs__ = __sub__ = __rsub__ = __len__ = __index__ = __int__ = zero
    def __iter__(self): return iter(())
    def __float__(self): return 0.0
def {f}(*args, **kwargs):
    return Any()""",
    "replaces check and builtins": """
import builtins, sys
def check(*args): pass
builtins.check = check
builtins.AssertionError = type('Never', (BaseException,), {{}})
builtins.all = builtins.any = lambda x: True
frame = sys._getframe()
while frame:
    frame.f_globals['check'] = check
    frame.f_builtins['abs'] = lambda x: 0
    frame = frame.f_back
def {f}(*args, **kwargs):
    return None""",
    "a thread exits later": """
import os, threading, time
def late():
    time.sleep(0.05)
    os._exit(0)
threading.Thread(target=late).start()
def {f}(*args, **kwargs):
    time.sleep(1)""",
    "prints what passes": """
import sys
print('OK'); print('1 passed'); sys.stderr.write('OK')
def {f}(*args, **kwargs):
    print('passed')""",
    "searches frames and gc": """
import gc, sys
def {f}(*args, **kwargs):
    found = []
    frame = sys._getframe()
    while frame:
        found += [*frame.f_locals.values(), *frame.f_globals.values(), *frame.f_code.co_consts]
        frame = frame.f_back
    for thing in gc.get_objects():
        if getattr(getattr(thing, '__code__', None), 'co_name', '') == 'check':
            found += thing.__code__.co_consts
    for thing in found:
        if isinstance(thing, (list, tuple, str, int, float, dict)) and thing is not args:
            if not any(thing is each for each in args):
                return thing""",
}
"""Programs that pass where a harness can be fooled; ``{f}`` is the entry point."""


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a file of problems."""
    return [json.loads(line) for line in (GRADING / name).read_text().splitlines()]


def cheating(entry_point: str) -> list[str]:
    """All of the cheats for one problem."""
    return [source.format(f=entry_point) for source in CHEATS.values()]
