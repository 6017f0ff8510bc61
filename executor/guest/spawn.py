"""The zygote's fork-and-wait core in pure Python: ``core/forks.c`` for hosts without a compiler.

Same contract as the compiled module, slower, and with two differences: the filter is installed in
each child (through ctypes, loaded before the first fork), and the nonce of a result frame lies in
Python objects, where a program that searches its own process can find it.
"""

from __future__ import annotations

import builtins
import ctypes
import posix
import resource
import struct
import sys
import time

from executor.guest import fork, seccomp
from executor.guest.depth import Depth
from executor.guest.frames import Input, write_frame
from executor.guest.names import Names
from executor.wire.layout import (
    ALL_SOURCES,
    CLOSED,
    JOB,
    NO_RESULT,
    REPORT,
    SLACK,
    SPAWN_FAILED,
    TAMPERING,
)

TYPE_CHECKING = False  # importing typing would cost every guest memory
if TYPE_CHECKING:
    from types import CodeType

# The functions below look up builtins here, whatever a program makes of the interpreter's.
__builtins__ = dict(builtins.__dict__)  # type: ignore[assignment]

_SIGKILL = 9
_JOB = struct.Struct(JOB)
_REPORT = struct.Struct(REPORT)
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_INTERPRETER_ADDRESS_SPACE = 256 << 20

_Spawned = tuple[int, int, int, int, int, int, int, bytes]


class _State:
    null_fd = -1
    result_fd = -1
    nonce = b""
    libc: ctypes.CDLL | None = None
    filter_buffer: object = None
    filter_program: object = None
    names = Names(())


def prepare() -> None:
    """Open what the children will need."""
    _State.null_fd = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)


def huge_text() -> bool:
    """Not to be had without the compiled core."""
    return False


def address_space() -> int:
    """A generous estimate of the bytes of address space that the bare interpreter has mapped."""
    return _INTERPRETER_ADDRESS_SPACE


def immortalize() -> None:
    """Not to be had without the compiled core."""


def watch_sources(_quiet: tuple[CodeType, ...]) -> bool:
    """Not to be had without the compiled core."""
    return False


def show_order(_order: int) -> None:
    """Begin a run. Without the compiled core there is one order to show."""


def watch_names(namespaces: tuple[dict[str, object], ...]) -> None:
    """From now on :func:`sources_seen` tells whether a name of these has another value."""
    _State.names = Names(namespaces)


count_frames = Depth().count_frames


def watch_refusals() -> None:
    """Not to be had without the compiled core: what it would note ends the run."""


def refused() -> bytes:
    """The call that was refused, and its place: not known here."""
    return bytes(6)


def sources_seen() -> int:
    """All sources: what is not known must be assumed. TAMPERING if it is seen."""
    return ALL_SOURCES | (TAMPERING if _State.names.changed() else 0)


def lock(_filter: bytes, _patches: tuple[int, ...]) -> None:
    """No new privileges, not dumpable; the filter is prepared here and installed by each child."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    code, _ = seccomp.build(zygote=False)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("<H6xQ", len(code) // 8, ctypes.addressof(buffer))
    _State.filter_buffer = buffer
    _State.filter_program = ctypes.create_string_buffer(program, len(program))
    _State.libc = libc


def _spawn(wall_ms: int, cpu_s: int, memory: int, max_output: int) -> _Spawned | None:
    """Fork. In the child: None. In the zygote: how the child ended, and its result's bytes."""
    reader, writer = posix.pipe()
    _State.nonce = posix.getrandom(8)
    start = time.monotonic()
    pid = posix.fork()
    if pid == 0:
        posix.close(reader)
        _become_child(writer, cpu_s, memory)
        return None
    posix.close(writer)
    deadline = start + wall_ms / 1000
    outcome, data = fork.receive(reader, _State.nonce, deadline, max_output, watch_host=True)
    posix.close(reader)
    outcome, status, usage = _end_child(pid, outcome)
    cpu_us = round((usage.ru_utime + usage.ru_stime) * 1e6)
    wall_us = round((time.monotonic() - start) * 1e6)
    return outcome, status, pid, cpu_us, wall_us, usage.ru_maxrss, _kill_leftovers(), data


def _end_child(pid: int, outcome: int) -> tuple[int, int, resource.struct_rusage]:
    """End the child; tells a child that was ending from one that had to be killed."""
    if outcome == NO_RESULT:
        for _ in range(100):
            reaped, status, usage = posix.wait4(pid, posix.WNOHANG)
            if reaped:
                return NO_RESULT, status, usage
            time.sleep(0.0001)
        outcome = CLOSED
    posix.kill(pid, _SIGKILL)
    _, status, usage = posix.wait4(pid, 0)
    return outcome, status, usage


def confine(_filter: bytes) -> None:
    """No new privileges, and the filter, for this process and for good."""
    lock(_filter, ())
    if not _install_filter():
        raise OSError(ctypes.get_errno(), "seccomp")


def take_proc(_path: str) -> None:
    """Slots are not to be had without the compiled core; the host does not ask for them."""
    raise OSError("no slots without the compiled core")


def inherit_proc(_descriptor: int) -> None:
    """See :func:`take_proc`."""


def prepare_slots() -> None:
    """See :func:`take_proc`."""


def use_slots(_filter: bytes, _audit: int, _costs: bool) -> None:
    """See :func:`take_proc`."""


def try_slots(_body: bytes) -> tuple[int, int, bytes] | None:
    """See :func:`take_proc`."""
    return None


def serve(base: int) -> tuple[int, int, bytes]:
    """Answer the host's jobs for ever. Returns only in the children: flags, output bytes, body."""
    source = Input()
    while True:
        frame = source.next_frame()
        number, wall_ms, cpu_s, memory, output, flags = _JOB.unpack_from(frame)
        limit = base + memory if memory else 0
        try:
            spawned = _spawn(wall_ms, cpu_s, limit, output + SLACK)
        except OSError:
            spawned = (SPAWN_FAILED, 0, 0, 0, 0, 0, 0, b"")
        if spawned is None:
            source.forget()  # other jobs are not this child's to read
            return flags, output, frame[_JOB.size :]
        *report, result = spawned
        write_frame(_REPORT.pack(number, *report), result)


def _become_child(writer: int, cpu_s: int, memory: int) -> None:
    for descriptor in range(3):
        posix.dup2(_State.null_fd, descriptor)
    posix.close(_State.null_fd)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    _State.result_fd = writer
    if _State.libc is not None and not _install_filter():
        posix._exit(1)


def _install_filter() -> bool:
    if _State.libc is not None:
        address = ctypes.addressof(_State.filter_program)  # type: ignore[arg-type]
        return not _State.libc.prctl(_PR_SET_SECCOMP, 2, address, 0, 0)
    return False


def _kill_leftovers() -> int:
    count = 0
    while True:
        try:
            pid, _ = posix.waitpid(-1, posix.WNOHANG)
            if pid == 0:
                posix.kill(-1, _SIGKILL)
                posix.waitpid(-1, 0)
        except ChildProcessError:
            return count
        count += 1


def emit(data: bytes) -> None:
    """Send the child's result and end the child."""
    fork.emit(_State.result_fd, _State.nonce, data)


if sys.platform != "linux":
    raise ImportError("the zygote runs on Linux")
