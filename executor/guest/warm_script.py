"""The warm interpreter of scripts: forks once for each, and the child is ``python script.py``.

The zygote is an interpreter as the run profile starts it (``script.py``): same root file system,
environment, flags and working directory, and /box holds the script's source. So a script sees what
it would see in a jail of its own, as long as it makes no system call beyond the filter; one that
does is killed, and the host runs it again, in such a jail. It must not matter that it ran twice:
nothing that the filter allows has effects outside the child.

A frame from the host (trusted), all integers little-endian::

    u32 size
    u32 job number, u32 wall ms, u32 CPU s, u64 memory bytes beyond the bare interpreter,
    u32 bytes of stdout and of stderr that are kept, u8 0
    u32 bytes of source, u32 bytes of standard input (no more than fit into a pipe)
    source, standard input, arguments (each ends with NUL)

A reply is the zygote's (``zygote.py``): outcome RESULT means that the script ended by itself. Its
payload is a u32 size of stdout, then stdout and stderr.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from types import ModuleType

from executor.guest import numpy_state, seccomp
from executor.guest.core import core
from executor.guest.frames import write
from executor.guest.preload import load
from executor.wire.layout import READY

DIRECTORY = "/box"
SCRIPT = f"{DIRECTORY}/script.py"

_SAMPLE = """
import sys
class Counter:
    def __init__(self, text):
        self.counts = {}
        for character in text:
            self.counts[character] = self.counts.get(character, 0) + 1
    def best(self):
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
def describe(numbers):
    return [f'{n:>4} {n * 2!r}' for n in numbers if n > 1]
lines = describe([1, 2, 3]) + [str(Counter('ab1cab').best())]
try:
    int(lines[0][0] + 'x')
except ValueError as error:
    lines.append(str(error))
sys.stdout.write('')
"""
_REHEARSALS = 20
_STACK_BYTES = 8 << 20


def _rehearse() -> None:
    """Do what scripts do, so that what every child would change in its first run is changed."""
    for _ in range(_REHEARSALS):
        exec(compile(_SAMPLE, SCRIPT, "exec"), {"__name__": "__main__"})


def _forget_harness(root: str) -> None:
    """Leave the import system as an interpreter has it that was started with the script."""
    for name in [name for name in sys.modules if name.split(".")[0] == "executor"]:
        del sys.modules[name]
    harness = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [DIRECTORY, *(entry for entry in sys.path if entry not in (root, harness))]
    for path in list(sys.path_importer_cache):
        if path.startswith(root):
            del sys.path_importer_cache[path]
    sys.argv[:] = [SCRIPT]
    sys.orig_argv[:] = [sys.executable, "-B", SCRIPT]
    os.environ.pop("LD_BIND_NOW", None)


def _stderr_of_a_pipe() -> None:
    """Make ``sys.stderr`` as for a script, whose descriptor 2 is a pipe; ours is a file."""
    log = os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    raw = io.FileIO(2, "wb", closefd=False)
    raw.name = "<stderr>"
    binary = io.BufferedWriter(raw)
    text = io.TextIOWrapper(binary, "utf-8", "backslashreplace", newline="\n", line_buffering=True)
    text.mode = "w"  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = text  # type: ignore[misc]
    os.dup2(log, 2)
    for descriptor in (log, reader, writer):
        os.close(descriptor)


def _limit_stack() -> None:
    """As ``script.py`` does for scripts in jails."""
    import resource  # noqa: PLC0415

    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    soft = _STACK_BYTES if hard == resource.RLIM_INFINITY else min(_STACK_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))
    del sys.modules["resource"]


def _main_module() -> ModuleType:
    """``__main__`` as the interpreter makes it for a script, names in their order."""
    from _frozen_importlib_external import SourceFileLoader  # noqa: PLC0415

    module = ModuleType("__main__")
    names = vars(module)
    del names["__spec__"], names["__loader__"]
    names["__loader__"] = SourceFileLoader("__main__", SCRIPT)
    names["__spec__"] = None
    names["__annotations__"] = {}
    names["__builtins__"] = sys.modules["builtins"]
    names["__file__"] = SCRIPT
    names["__cached__"] = None
    return module


def serve(*, preload: list[str], root: str) -> None:
    """Warm up, lock down, say that we are ready, and serve until the host closes descriptor 0."""
    import atexit  # noqa: PLC0415
    import random  # noqa: PLC0415

    load(preload)
    numpy_state.settle(None)
    _limit_stack()
    os.chdir(DIRECTORY)
    _stderr_of_a_pipe()
    core.prepare_scripts(SCRIPT)
    core.huge_text()
    base = core.address_space()
    _rehearse()
    _forget_harness(root)
    modules = dict(sys.modules)
    del modules["__main__"], modules["sys"], modules["builtins"]
    gc.collect()
    core.immortalize()
    gc.freeze()
    # Made after that: a script's own module and what it holds can die in the child.
    sys.modules["__main__"] = _main_module()
    core.lock(*seccomp.build(zygote=True, table=seccomp.SCRIPT))
    write(READY)
    reseed = numpy_state.reseeding(super(random.Random, random._inst).seed)
    core.serve_scripts(base, SCRIPT, modules, reseed, atexit._run_exitfuncs)
