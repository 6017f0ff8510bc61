"""The warm interpreter: reads jobs from descriptor 0, forks once for each, writes replies to 1.

A frame from the host (trusted), all integers little-endian::

    u32 size
    u32 job number, u32 wall ms, u32 CPU s, u64 memory bytes beyond the bare interpreter,
    u32 output bytes, u8 flags
    the job's body, which only the child reads (see program.py)

A reply::

    u32 size
    u32 job number, u8 outcome, i32 wait status, u32 pid, u64 CPU us, u64 wall us, u64 peak KiB,
    u32 processes left over
    the child's result, passed on unread
"""

from __future__ import annotations

import gc
import marshal
import posix
import sys

from executor.guest import names, numpy_state, program, seccomp, surroundings
from executor.guest.core import core
from executor.guest.frames import write
from executor.guest.preload import load, tell_temporary_directory
from executor.wire.layout import READY, VALUES


def _scrub_environment(token: bytes) -> None:
    """Leave nothing of the host; what is left differs between interpreters on purpose."""
    for name in list(posix.environ):
        posix.unsetenv(name)
    posix.environ.clear()
    left = {b"HOME": b"/" + token, b"PATH": b"/py/bin", b"USER": token}
    for name, value in left.items():
        posix.putenv(name, value)
        posix.environ[name] = value


def _restore_site_names() -> None:
    """Without ``site`` the interpreter has no exit() and quit(), which programs call."""
    import builtins  # noqa: PLC0415
    from _sitebuiltins import Quitter  # noqa: PLC0415

    for name in ("exit", "quit"):
        setattr(builtins, name, Quitter(name, "Ctrl-D (i.e. EOF)"))


def _signals() -> None:
    import _signal  # noqa: PLC0415

    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # pid 1 drops signals that have no handler
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)


_SAMPLE = """
def f(text, numbers):
    counts = {}
    for character in text:
        counts[character] = counts.get(character, 0) + 1
    best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(n * 2, str(n)) for n in numbers if n > 1], best, ''.join(reversed(text)), len(best) / 2
"""
_NOT_FOR_PROGRAMS = ("executor.guest", "executor.wire")
_REHEARSALS = 40  # enough for the interpreter to specialize all of the harness's bytecode


def _sample_job() -> bytes:
    code = marshal.dumps(compile(_SAMPLE, "<program>", "exec"))
    arguments = marshal.dumps((("ab1cab", [1, 2, 3]), {}), 2)
    call = bytes((VALUES,)) + len(arguments).to_bytes(4, "little") + arguments
    return len(code).to_bytes(4, "little") + code + call


def _rehearse(body: bytes) -> None:
    """Run jobs of our own, so that what every child would change in its first run is changed."""
    for _ in range(_REHEARSALS):
        program.run(core, body, 0, 1 << 20)


class Slots:
    """Options of slots (see ``core/slots.c``)."""

    def __init__(self, proc: str, audit: int, costs: bool, trial: bool) -> None:
        self.proc = proc
        """A procfs that nobody else is to see: where one is mounted for us, or, if this is a
        number, a descriptor of one that lies elsewhere."""
        self.audit = audit
        """After every how many runs all memory of a slot is compared; 0: never."""
        self.costs = costs
        """Whether to tell at the end what the steps have cost."""
        self.trial = trial
        """Only find out whether slots work here."""

    def take_proc(self) -> None:
        """Keep the procfs, and see to it that nobody else has it."""
        if self.proc.isdecimal():
            core.inherit_proc(int(self.proc))
        else:
            core.take_proc(self.proc)


def serve(
    *, preload: list[str], locked: bool, token: str, root: str, slots: Slots | None = None
) -> None:
    """Warm up, lock down, say that we are ready, and serve until the host closes descriptor 0."""
    if slots:
        slots.take_proc()
    _scrub_environment(token.encode())
    _restore_site_names()
    _signals()
    load(preload)
    tell_temporary_directory()
    numpy_state.settle(core)
    program.watch_dice(numpy_state.dice())
    core.prepare()
    core.huge_text()
    core.watch_sources(surroundings.quiet_code())
    surroundings.find_directories()
    if slots:
        core.prepare_slots()
    base = core.address_space()
    sys.path[:] = [entry for entry in sys.path if entry != root]
    sample = _sample_job()
    _rehearse(sample)
    core.watch_names(names.watched())
    gc.collect()
    surroundings.scatter()
    core.immortalize()
    gc.freeze()  # children collect their own garbage only, and leave these pages alone
    sys.argv = ["program"]
    for name in [name for name in sys.modules if name.startswith(_NOT_FOR_PROGRAMS)]:
        del sys.modules[name]  # nothing that a program needs to find
    if locked:
        core.watch_refusals()
        core.lock(*seccomp.build(zygote=True, table=seccomp.SLOTS if slots else seccomp.VERIFY))
    flags, output, body = _take_job(base, sample, slots)
    leave = posix._exit  # a program may have put others in the place of all that is not local
    try:
        core.emit(program.run(core, body, flags, output))
    finally:
        leave(1)  # the interpreter's own end would wait for locks of threads that no fork has


def _take_job(base: int, sample: bytes, slots: Slots | None) -> tuple[int, int, bytes]:
    """Say that we are ready and serve; returns in the process of a run, with its job."""
    if slots:
        core.use_slots(seccomp.slot(), slots.audit, slots.costs)
        job = core.try_slots(sample) if slots.trial else None
        if job is not None:
            return job
    write(READY)
    return core.serve(base)
