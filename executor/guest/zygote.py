"""The warm interpreter: reads jobs from descriptor 0, forks once for each, writes replies to 1.

A frame from the host (trusted) is a u32 size and then ``JOB`` and the job's body, which only the
child reads. A reply is a u32 size, ``REPLY`` and the child's records, passed on unread.
"""

from __future__ import annotations

import gc
import posix
import struct
import sys

from executor.guest import program, seccomp
from executor.guest.wire import READY, Input, write, write_frame

try:
    from executor.guest import _core as core
except ImportError:
    from executor.guest import spawn as core  # type: ignore[no-redef]

JOB = struct.Struct("<IIIQIB")
"""Job number, wall ms, CPU s, memory bytes beyond the bare interpreter, output bytes, flags."""
REPLY = struct.Struct("<IBiIQQQI")
"""Job number, outcome, wait status, pid, CPU us, wall us, peak KiB, processes left over."""

_SPAWN_FAILED = 6
_SLACK = 1 << 16  # what records and messages may add to the values


def _serve_one(source: Input, base: int) -> None:
    frame = source.next_frame()
    number, wall_ms, cpu_s, memory, output, flags = JOB.unpack_from(frame)
    limit = base + memory if memory else 0
    try:
        spawned = core.spawn(wall_ms, cpu_s, limit, output + _SLACK)
    except OSError:
        spawned = (_SPAWN_FAILED, 0, 0, 0, 0, 0, 0, b"")
    if spawned is None:
        source.forget()
        body = frame[JOB.size :]
        del frame, source
        core.emit(program.run(core, body, flags, output))
        posix._exit(0)
    outcome, status, pid, cpu_us, wall_us, peak_kib, leftovers, records = spawned
    head = REPLY.pack(number, outcome, status, pid, cpu_us, wall_us, peak_kib, leftovers)
    write_frame(head, records)


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


def serve(*, preload: list[str], locked: bool, token: str, root: str) -> None:
    """Warm up, lock down, say that we are ready, and serve until the host closes descriptor 0."""
    _scrub_environment(token.encode())
    _restore_site_names()
    _signals()
    for name in preload:
        __import__(name)
    core.prepare()
    core.huge_text()
    core.watch_order()
    base = core.address_space()
    sys.path[:] = [entry for entry in sys.path if entry != root]
    gc.collect()
    gc.freeze()
    gc.disable()
    if locked:
        core.lock(*seccomp.build(zygote=True))
    write(READY)
    source = Input()
    while True:
        _serve_one(source, base)
