"""Many jobs in one process that lives for them: for servers that run a script and return what it
writes (see ``executor/backends/sandboxfusion/wire.py``, which starts this).

Standard input holds, all of it ASCII: a key, the guest's code, a head and the bodies of the jobs.
The head is JSON: ``[options, [[number, wall ms, CPU s, memory, output bytes, flags, size], ...]]``
(a parser's jobs are ``[number, size]``). A body is base64 of zlib of what ``program.py`` or
``parser.py`` want.

Each job has a child of its own. Before anything of the job is decoded, the child overwrites the key
and all bodies, so that it holds nothing of other parties but what the harness itself has left in
freed memory. Its descriptors 0 to 2 are ``/dev/null``.

Results are lines ``number authentication base64(zlib(reply))``; the authentication is a hash with
the key, which no child has. A line that standard output has no room for goes to a file, and the
jobs after it are left for another time. The last line has the number -1 and says how many jobs were
started.
"""

from __future__ import annotations

import binascii
import builtins
import json
import marshal
import os
import resource
import signal
import struct
import sys
import time
import zlib
from _blake2 import blake2b  # hashlib would load OpenSSL

from executor.guest import fork
from executor.wire.layout import (
    ALL_SOURCES,
    CLOSED,
    END,
    EXPRESSION,
    HASH_ORDER,
    IDENTITY,
    MAC_BYTES,
    NO_RESULT,
    OVERFLOW,
    REPORT,
    SLACK,
    SPAWN_FAILED,
    TAMPERING,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

    from executor.guest.names import Names

# The functions below look up builtins here, whatever a program makes of the interpreter's.
__builtins__ = dict(builtins.__dict__)  # type: ignore[assignment]

_NOT_FOR_PROGRAMS = ("executor.guest", "executor.wire")
_REPORT = struct.Struct(REPORT)
_RESULT_FD = 3
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_CAPABILITY_VERSION = 0x20080522
_INTERPRETER_ADDRESS_SPACE = 256 << 20
_ENDING_S = 0.25
"""Seconds that a child that has closed its channel may take to end: machines may be busy."""


class Printer:
    """Writes authenticated lines while there is room."""

    def __init__(self, key: bytearray, room: int) -> None:
        self._key = key
        self._room = room
        self.full = False

    def line(self, number: int, payload: bytes) -> None:
        """Write the line of one reply."""
        data = binascii.b2a_base64(zlib.compress(payload, 1), newline=False)
        text = b"%d %s" % (number, data)
        mac = blake2b(text, key=self._key, digest_size=MAC_BYTES).hexdigest().encode()
        line = b"%d %s %s\n" % (number, mac, data)
        if len(line) > self._room:
            self.full = True
            with open(OVERFLOW, "ab") as file:
                file.write(line)
            return
        self._room -= len(line)
        while line:
            line = line[os.write(1, line) :]


class Sources:
    """Stands in for the compiled core: says which sources of nondeterminism a job may have used,
    and whether it tampered with names."""

    def __init__(self, seen: int, names: Names, count_frames: Callable[[int], None]) -> None:
        self._seen = seen
        self._names = names
        self.count_frames = count_frames

    def show_order(self, _order: int) -> None:
        """Begin a run. Another order is shown by another hash seed."""

    def refused(self) -> bytes:
        """Not known here: what would be told ends the run."""
        return bytes(6)

    def sources_seen(self) -> int:
        """The sources that cannot be ruled out, and tampering."""
        return self._seen | (TAMPERING if self._names.changed() else 0)


def serve(key: bytearray, read: Callable[[int], bytearray], head: int, bodies: int) -> None:
    """Do the jobs that standard input holds."""
    options, jobs = json.loads(bytes(read(head)))
    pack = read(bodies)
    if options["filter"]:
        _close_memory()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    printer = Printer(key, options["room"])
    deadline = time.monotonic() + options["budget_ms"] / 1000
    work = _parse_job if options["role"] == "parser" else _prepare_children(options, null)
    started = at = 0
    for job in jobs:
        if started and (time.monotonic() > deadline or printer.full):
            break
        started += 1
        at += job[-1]
        reply = work(key, pack, at - job[-1], at, job)
        printer.line(job[0], reply)
    printer.line(END, b"%d" % started)


def _parse_job(_key: bytearray, pack: bytearray, start: int, end: int, _job: list[int]) -> bytes:
    """Texts are parsed and compiled here: nothing of them is run."""
    import warnings  # noqa: PLC0415

    from executor.guest import parser  # noqa: PLC0415

    warnings.simplefilter("ignore")
    request = zlib.decompress(binascii.a2b_base64(pack[start:end]))
    return parser.reply(marshal.loads(request))


def _prepare_children(options: dict[str, Any], null: int) -> Callable[..., bytes]:
    """Warm up; returns what does one job in a child."""
    from executor.guest import depth, names, preload, program  # noqa: PLC0415

    _scrub_environment(options["token"])
    for name in options["preload"]:
        __import__(name)
    install_filter = _filter() if options["filter"] else None
    shape = Shape()
    watched = names.Names(names.watched())
    frames = depth.Depth().count_frames
    sys.argv = ["program"]
    for name in [name for name in sys.modules if name.startswith(_NOT_FOR_PROGRAMS)]:
        del sys.modules[name]
    sys.meta_path.pop(0)  # the finder of the guest's code
    preload.tell_temporary_directory()

    def work(key: bytearray, pack: bytearray, start: int, end: int, job: list[int]) -> bytes:
        number, wall_ms, cpu_s, memory, output, flags, _size = job
        spawned = _spawn(wall_ms, output + SLACK)
        if isinstance(spawned, bytes):
            return struct.pack("<I", number) + spawned
        writer, nonce = spawned
        try:
            key[:] = bytes(len(key))
            packed = bytes(pack[start:end])
            pack[:] = bytes(len(pack))
            _become_child(writer, null, cpu_s, memory)
            body = zlib.decompress(binascii.a2b_base64(packed))
            code, (how, data) = program.split_job(body)
            seen = shape.possible(code, data, expression=how == EXPRESSION)
            sources = Sources(seen, watched, frames)
            if install_filter is not None:
                install_filter()
            result = program.run(sources, body, flags, output)
            fork.emit(_RESULT_FD, nonce, result)
        finally:
            os._exit(1)

    return work


def _scrub_environment(token: str) -> None:
    os.environ.clear()
    os.environ.update({"HOME": "/" + token, "PATH": "/usr/bin:/bin", "USER": token})
    from _sitebuiltins import Quitter  # noqa: PLC0415

    for name in ("exit", "quit"):
        setattr(builtins, name, Quitter(name, "Ctrl-D (i.e. EOF)"))


def _filter() -> Callable[[], None]:
    """Make what takes a child's capabilities and installs the verify profile's filter, for good."""
    import ctypes  # noqa: PLC0415

    from executor.guest import seccomp  # noqa: PLC0415

    libc = _libc()
    code, _ = seccomp.build(zygote=False)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("<H6xQ", len(code) // 8, ctypes.addressof(buffer))
    held = ctypes.create_string_buffer(program, len(program))
    head, nothing = struct.pack("<Ii", _CAPABILITY_VERSION, 0), bytes(24)
    is_root = os.geteuid() == 0  # else there are none, and our own service forbids the call

    def install() -> None:
        if buffer and (
            (is_root and libc.capset(head, nothing))
            or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            or libc.prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(held), 0, 0)
        ):
            os._exit(1)

    return install


def _close_memory() -> None:
    """Close the memory of this process, where the key is, to processes without capabilities: the
    filter lets children read files, and /proc may be there."""
    _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _libc() -> Any:
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    return libc


def filter_works() -> bool:
    """Whether children may have a filter here: tried out in one that is expendable."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _close_memory()
            _filter()()
            os.getpid()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def _become_child(writer: int, null: int, cpu_s: int, memory: int) -> None:
    os.setsid()  # leftovers are ended with the group
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.dup2(writer, _RESULT_FD)
    os.closerange(4, 64)
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    if memory:
        _limit(resource.RLIMIT_AS, _INTERPRETER_ADDRESS_SPACE + memory)


def _limit(name: int, value: int) -> None:
    """Set a limit; where the server's own is lower, that holds."""
    hard = resource.getrlimit(name)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(name, (value, value))


def _spawn(wall_ms: int, max_output: int) -> bytes | tuple[int, bytes]:
    """Fork. In the child: the descriptor for its result, and a nonce that begins it. In the parent:
    the report of how the child ended, without the job's number, and its result."""
    nonce = os.urandom(8)
    start = time.monotonic()
    try:
        reader, writer = os.pipe()
        pid = os.fork()
    except OSError:
        return _REPORT.pack(0, SPAWN_FAILED, 0, 0, 0, 0, 0, 0)[4:]
    if pid == 0:
        return writer, nonce
    os.close(writer)
    deadline = start + wall_ms / 1000
    outcome, data = fork.receive(reader, nonce, deadline, max_output, watch_host=False)
    os.close(reader)
    outcome, status, usage = _end_child(pid, outcome)
    cpu_us = round((usage.ru_utime + usage.ru_stime) * 1e6)
    wall_us = round((time.monotonic() - start) * 1e6)
    report = _REPORT.pack(0, outcome, status, pid, cpu_us, wall_us, usage.ru_maxrss, 0)
    return report[4:] + data


def _end_child(pid: int, outcome: int) -> tuple[int, int, resource.struct_rusage]:
    """End the child and what it has started; tells one that was ending from one that had to be
    killed."""
    if outcome == NO_RESULT and not _has_ended(pid):
        outcome = CLOSED
    for end in (os.killpg, os.kill):
        try:
            end(pid, signal.SIGKILL)
        except OSError:
            continue
    _, status, usage = os.wait4(pid, 0)
    return outcome, status, usage


def _has_ended(pid: int) -> bool:
    deadline = time.monotonic() + _ENDING_S
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0001)
    return True


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SAFE_MODULES = _words(
    """
    abc bisect cmath collections copy dataclasses decimal enum fractions functools heapq
    itertools json math numbers operator re statistics string typing __future__
    """
)
"""Modules that neither ask for randomness nor look at the clock."""
_REACHING = _words(
    """
    attrgetter compile eval exec getattr globals locals methodcaller open setattr vars
    __base__ __bases__ __builtins__ __class__ __dict__ __globals__ __import__ __loader__ __mro__
    __spec__ __subclasses__ cr_frame f_back f_builtins f_globals gi_frame tb_frame
    now today utcnow
    """
)
"""Names by which a program may get at anything, or at the clock by an argument's type."""
_SHOWS_IDENTITY = _words("ascii hash id repr __hash__ __repr__ __str__")
_MAKES_SETS = _words("frozenset hash set KeysView MutableSet Set")
_MAKES_SETS_BY_OPERATORS = _words("keys items")
_SET_OPCODES = ("BUILD_SET", "SET_ADD", "SET_UPDATE")
_OPERATORS = _words(
    """
    BINARY_OP BINARY_AND BINARY_OR BINARY_SUBTRACT BINARY_XOR INPLACE_AND INPLACE_OR
    INPLACE_SUBTRACT INPLACE_XOR
    """
)


class Shape:
    """Judges by the code which sources of nondeterminism cannot be ruled out. By refusal: what is
    not known to be harmless counts."""

    def __init__(self) -> None:
        import opcode  # noqa: PLC0415

        self._import = opcode.opmap["IMPORT_NAME"]
        self._extended = opcode.EXTENDED_ARG
        self._sets = {opcode.opmap[name] for name in _SET_OPCODES if name in opcode.opmap}
        self._operators = {opcode.opmap[name] for name in _OPERATORS if name in opcode.opmap}
        self._other_modules = frozenset(sys.stdlib_module_names) - _SAFE_MODULES

    def sources(self, code: CodeType) -> int:
        """The sources of one code object and those inside it."""
        names = code.co_names
        if not _REACHING.isdisjoint(names) or not self._other_modules.isdisjoint(names):
            return ALL_SOURCES
        if any(name[0] == "_" and name[:2] != "__" for name in names):
            return ALL_SOURCES
        operations = set(code.co_code[::2])
        if self._import in operations and not self._imports_are_safe(code):
            return ALL_SOURCES
        found = 0
        if not (self._sets.isdisjoint(operations) and _MAKES_SETS.isdisjoint(names)):
            found = HASH_ORDER
        elif not self._operators.isdisjoint(operations):
            found = 0 if _MAKES_SETS_BY_OPERATORS.isdisjoint(names) else HASH_ORDER
        if not _SHOWS_IDENTITY.isdisjoint(names):
            found |= IDENTITY
        for constant in code.co_consts:
            if type(constant) is frozenset:
                found |= HASH_ORDER
            elif type(constant) is type(code):
                found |= self.sources(constant)
        return found

    def _imports_are_safe(self, code: CodeType) -> bool:
        operations = code.co_code
        for at in range(0, len(operations), 2):
            if operations[at] == self._import:
                if at and operations[at - 2] == self._extended:
                    return False
                module = code.co_names[operations[at + 1]]
                if module.partition(".")[0] not in _SAFE_MODULES:
                    return False
        return True

    def possible(self, code: CodeType, data: bytes, *, expression: bool) -> int:
        """The sources of a job whose call has these data."""
        found = self.sources(code)
        if expression:
            found |= self.sources(marshal.loads(data))
        elif b"<" in data or b">" in data:  # how marshal begins a set
            found |= HASH_ORDER
        return found


if sys.platform != "linux":
    raise ImportError("jobs are packed on Linux only")
