"""The host's half of the protocol of ``executor/guest/script.py``, and what its replies mean.

A request is written by the host and believed by the guest. A reply comes out of a jail in which
untrusted code ran: each of its bytes is checked before it is used.
"""

from __future__ import annotations

import json
import signal
import struct
from dataclasses import dataclass
from typing import Any

from executor.errors import InputError, LanguageUnavailable, ProtocolError
from executor.models import (
    Limits,
    Script,
    ScriptLanguage,
    ScriptResult,
    Signal,
    Signals,
    Status,
    Usage,
)
from executor.wire.source_text import encode_source

SCRIPT_NAMES: dict[ScriptLanguage, str] = {
    "python": "script.py",
    "bash": "script.sh",
    "pytest": "test_script.py",
}
"""The file in the working directory that the source is put into."""
WRITABLE = ("/box", "/tmp", "/mnt", "/dev/shm")
"""Folders that files can be collected from by absolute paths; relative ones are in the first."""
INTERPRETER_MIB = 16
"""MiB of address space that an interpreter takes before it runs a script."""

_LANGUAGE_NEEDS: dict[ScriptLanguage, str] = {
    "python": "there is no interpreter",
    "bash": "bash is not installed on this host",
    "pytest": "pytest is not installed beside the executor (pip install pytest)",
}
_MIB = 1 << 20
_MAX_ARGUMENT_BYTES = 64 * 1024
_MAX_COLLECTED = 1000
_MAX_FILES = 16_000
"""Files and their folders: a jail's file systems have 16,384 inodes, some for the harness."""
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 1024
_MAX_COUNT = 1 << 53
_MAX_HEADER_BYTES = 16 * 1024 + _MAX_COLLECTED * (12 * _MAX_PATH_BYTES + 1024)
_MAX_TEXT = 4096
_GUEST_LIMITS = {
    "wall_limit": Status.WALL_LIMIT,
    "cpu_limit": Status.CPU_LIMIT,
    "output_limit": Status.OUTPUT_LIMIT,
}
_LIMIT_TEXTS = {
    Status.WALL_LIMIT: "the script ran for {0.wall_s} s",
    Status.CPU_LIMIT: "the script used {0.cpu_s} s of CPU",
    Status.OUTPUT_LIMIT: "the script wrote more than {0.output_kib} KiB to one stream",
}
_NO_PROCESS = (
    b"BlockingIOError: [Errno 11] Resource temporarily unavailable",
    b"RuntimeError: can't start new thread",
)
"""Beginnings of a traceback's last line: without a control group the only signs of the limit."""
_KEYS = {
    "exit_code", "signal", "limit", "failure", "wall_us", "cpu_us", "peak_kib", "stdout", "stderr",
    "files", "omitted",
}  # fmt: skip


_UNPROVEN = "unproven"


@dataclass(frozen=True)
class ScriptReply:
    """A well-formed reply. Its facts are the guest's word, within the limits of the request."""

    exit_code: int | None
    signal: int | None
    """Signal that ended the script's first process."""
    limit: Status | None
    """``wall_limit``, ``cpu_limit`` or ``output_limit`` if the guest ended the script."""
    failure: str | None
    """The reason why the script could not be started."""
    wall_us: int
    cpu_us: int
    """Of the script and all its descendants."""
    peak_kib: int
    """Resident memory of the largest process."""
    stdout: bytes
    stderr: bytes
    files: dict[str, bytes]
    omitted: dict[str, str]
    """Files that were asked for and not brought back, with reasons."""
    unproven: str | None = None
    """The reason why pytest's exit code, which says that tests passed, is not believed."""
    attempts: int = 0
    """To reach something over the network: counted by the host, not told by the guest."""


def encode_request(script: Script, limits: Limits, *, grouped: bool = False) -> bytes:
    """Return the bytes for the guest's fd 0.

    Args:
        script: what to run.
        limits: what it may use.
        grouped: whether the jail is in a control group with :func:`jail_processes`. The group
            counts the forks that it refuses, so it should be the first to refuse.

    Raises:
        InputError: a path, an argument or a size that cannot be served; the text says which.
    """
    source = encode_source(script.source, script.language)
    stdin = script.stdin.encode("utf-8", "surrogatepass")
    name = _script_name(script)
    files = {name: source, **script.files}
    _check_paths(script, name)
    check_arguments(script.argv)
    size = sum(map(len, files.values()))
    if size > limits.files_mib * _MIB:
        raise InputError(f"{size} bytes of files do not fit into {limits.files_mib} MiB")
    header = json.dumps({
        "language": script.language,
        "script": name,
        "argv": script.argv,
        "files": [(path, len(content)) for path, content in files.items()],
        "stdin": len(stdin),
        "collect": script.collect,
        "wall_s": limits.wall_s,
        "cpu_s": limits.cpu_s,
        "memory_bytes": (limits.memory_mib + INTERPRETER_MIB) * _MIB,
        "output_bytes": limits.output_kib * 1024,
        "processes": limits.processes + grouped,
        "files_bytes": limits.files_mib * _MIB,
    }).encode()  # fmt: skip
    return b"".join([struct.pack("<I", len(header)), header, *files.values(), stdin])


def _script_name(script: Script) -> str:
    """The usual name, unless the script's own files or folders have it."""
    name = SCRIPT_NAMES[script.language]
    taken = {path.partition("/")[0] for path in script.files}
    while name in taken:
        name = name.replace(".", "_.")
    return name


def check_language(script: Script, languages: frozenset[ScriptLanguage]) -> None:
    """Raise :class:`LanguageUnavailable` if a backend has not what the script's language needs."""
    if script.language not in languages:
        raise LanguageUnavailable(
            f"{script.language} scripts cannot be run here: {_LANGUAGE_NEEDS[script.language]}"
        )


def max_reply_bytes(script: Script, limits: Limits) -> int:
    """Return how long a well-formed reply can be at most: read no more than this, plus one."""
    contents = 2 * limits.output_kib * 1024 + limits.files_mib * _MIB
    return 4 + _max_header_bytes(script) + contents


def jail_memory_bytes(script: Script, limits: Limits) -> int:
    """Return the memory for a control group around the jail: script, files, and the harness."""
    harness = INTERPRETER_MIB * _MIB + 2 * limits.output_kib * 1024 + 8 * len(script.stdin)
    return (limits.memory_mib + INTERPRETER_MIB + limits.files_mib) * _MIB + harness


def jail_processes(limits: Limits) -> int:
    """Return the ceiling for a control group around the jail: nsjail and pid 1 are in it too."""
    return limits.processes + 2


def reply_size(data: bytes | bytearray) -> int | None:
    """Return how long the reply is that begins like this; ``None`` as long as that is not told.

    Raises:
        ProtocolError: it is not the beginning of a reply.
    """
    if len(data) < 4:
        return None
    end = 4 + int.from_bytes(data[:4], "little")
    if end > _MAX_HEADER_BYTES:
        raise ProtocolError("the reply's header is too long")
    if len(data) < end:
        return None
    header, _ = _split(bytes(data[:end]), _MAX_HEADER_BYTES)
    parts = [header["stdout"], header["stderr"]]
    if isinstance(header["files"], list):
        parts += [pair[1] for pair in header["files"] if isinstance(pair, list) and len(pair) == 2]
    return end + sum(map(_count, parts))


def decode_reply(data: bytes, script: Script, limits: Limits) -> ScriptReply:
    """Read the reply to ``encode_request(script, limits)``: all of it, and nothing more.

    Raises:
        ProtocolError: the bytes are not one well-formed reply to this request.
    """
    if len(data) > max_reply_bytes(script, limits):
        raise ProtocolError("the reply is too long")
    header, body = _split(data, _max_header_bytes(script))
    stdout, stderr = (_count(header[key], limits.output_kib * 1024) for key in ("stdout", "stderr"))
    sizes = _files(header["files"], script.collect, limits.files_mib * _MIB)
    omitted = _omitted(header["omitted"], set(script.collect) - sizes.keys())
    if len(sizes) + len(omitted) != len(script.collect):
        raise ProtocolError("the reply does not account for all files")
    parts = _cut(body, [stdout, stderr, *sizes.values()])
    exit_code, signal_number = _end(header["exit_code"], header["signal"])
    return ScriptReply(
        exit_code=exit_code,
        signal=signal_number,
        limit=_limit(header["limit"]),
        failure=None if header["failure"] is None else _text(header["failure"]),
        wall_us=_count(header["wall_us"]),
        cpu_us=_count(header["cpu_us"]),
        peak_kib=_count(header["peak_kib"]),
        stdout=parts[0],
        stderr=parts[1],
        files=dict(zip(sizes, parts[2:], strict=True)),
        omitted=omitted,
        unproven=None if header.get(_UNPROVEN) is None else _text(header[_UNPROVEN]),
    )


def script_result(
    reply: ScriptReply,
    limits: Limits,
    *,
    memory_kills: int = 0,
    process_limit_hits: int = 0,
    backend: str = "",
    interpreter: str = "",
) -> ScriptResult:
    """Say how the script ended.

    Args:
        reply: what the guest reports.
        limits: those of the request.
        memory_kills: out-of-memory kills in the jail's control group.
        process_limit_hits: forks that the control group refused.
        backend: name for the result.
        interpreter: version for the result.
    """
    status, detail = _classify(reply, limits, memory_kills, process_limit_hits)
    if reply.omitted:
        names = ", ".join(f"{path} ({why})" for path, why in reply.omitted.items())
        detail = f"{detail}; not collected: {names}"
    return ScriptResult(
        status=status,
        exit_code=None if reply.limit or reply.failure else reply.exit_code,
        signal=None if reply.failure else reply.signal,
        stdout=reply.stdout,
        stderr=reply.stderr,
        files=reply.files,
        detail=detail,
        signals=_signals(status, reply),
        usage=Usage(
            wall_ms=reply.wall_us / 1000, cpu_ms=reply.cpu_us / 1000, peak_memory_kib=reply.peak_kib
        ),
        backend=backend,
        interpreter=interpreter,
    )


def _signals(status: Status, reply: ScriptReply) -> Signals:
    signs: Signals = {}
    if status is Status.FORBIDDEN or (status is not Status.INFRA and reply.attempts > 0):
        signs[Signal.FORBIDDEN_CALL] = 1
    if reply.unproven is not None:
        signs[Signal.EARLY_EXIT] = 1
    return signs


def no_reply(limits: Limits, *, memory_kills: int = 0, backend: str = "") -> ScriptResult:
    """Say what it means that a jail ended without a well-formed reply.

    The out-of-memory killer takes the largest process, which can be the harness in pid 1 if the
    script's memory is files or many small processes. All else is a fault of the platform.
    """
    if memory_kills:
        status, detail = Status.MEMORY_LIMIT, _out_of_memory(limits)
    else:
        status, detail = Status.INFRA, "the jail ended without a reply"
    return ScriptResult(status=status, detail=detail, backend=backend)


def _classify(
    reply: ScriptReply, limits: Limits, memory_kills: int, process_limit_hits: int
) -> tuple[Status, str]:
    if reply.failure is not None:
        return Status.INFRA, f"the script could not be started: {reply.failure}"
    if reply.limit is not None:
        return reply.limit, _LIMIT_TEXTS[reply.limit].format(limits)
    if reply.signal is not None:
        return _classify_signal(reply, limits, memory_kills)
    if reply.cpu_us > limits.cpu_s * 1_000_000 and not (reply.exit_code and memory_kills):
        return Status.CPU_LIMIT, f"the script's processes used {reply.cpu_us / 1e6:.1f} s of CPU"
    if reply.exit_code:
        return _classify_exit(reply, limits, memory_kills, process_limit_hits)
    return Status.OK, "exit code 0"


def _classify_signal(reply: ScriptReply, limits: Limits, memory_kills: int) -> tuple[Status, str]:
    name = _signal_name(reply.signal or 0)
    if reply.signal == signal.SIGSYS:
        return Status.FORBIDDEN, "the script made a system call that the policy denies"
    used_up = reply.cpu_us > limits.cpu_s * 1_000_000
    if reply.signal == signal.SIGXCPU or (reply.signal == signal.SIGKILL and used_up):
        return Status.CPU_LIMIT, _LIMIT_TEXTS[Status.CPU_LIMIT].format(limits)
    if reply.signal == signal.SIGKILL and memory_kills:
        return Status.MEMORY_LIMIT, _out_of_memory(limits)
    return Status.CRASHED, f"the script was ended by {name}"


def _classify_exit(
    reply: ScriptReply, limits: Limits, memory_kills: int, process_limit_hits: int
) -> tuple[Status, str]:
    last = reply.stderr.rstrip().rpartition(b"\n")[2]
    if memory_kills or last == b"MemoryError" or last.startswith(b"MemoryError:"):
        return Status.MEMORY_LIMIT, _out_of_memory(limits)
    if process_limit_hits or last.startswith(_NO_PROCESS):
        return Status.PROCESS_LIMIT, f"more than {limits.processes} processes and threads"
    if reply.unproven is not None:
        return Status.ERROR, f"pytest ended with 0, but {reply.unproven}"
    return Status.ERROR, f"exit code {reply.exit_code}"


def _out_of_memory(limits: Limits) -> str:
    return f"the script needs more than {limits.memory_mib} MiB of memory"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _check_paths(script: Script, name: str) -> None:
    if len(script.collect) > _MAX_COLLECTED or len(set(script.collect)) != len(script.collect):
        raise InputError(f"collect: at most {_MAX_COLLECTED} paths, each once")
    for path in (*script.files, *map(_without_place, script.collect)):
        if not _is_plain(path):
            raise InputError(f"not a plain relative path: {path!r}")
    taken = {name, *script.files}
    folders: set[str] = set()
    for path in script.files:
        above = path.rpartition("/")[0]
        while above and above not in folders and len(taken) + len(folders) <= _MAX_FILES:
            if above in taken:
                raise InputError(f"{path!r} lies below a file")
            folders.add(above)
            above = above.rpartition("/")[0]
    if len(taken) + len(folders) > _MAX_FILES:
        raise InputError(f"more than {_MAX_FILES} files and folders")


def _without_place(path: str) -> str:
    """A path relative to the directory that it is in, of those that scripts can write to."""
    place = next((place for place in WRITABLE if path.startswith(f"{place}/")), None)
    return path if place is None else path.removeprefix(f"{place}/")


def _is_plain(path: str) -> bool:
    try:
        parts = path.encode().split(b"/")
    except UnicodeEncodeError:
        return False
    return sum(map(len, parts)) <= _MAX_PATH_BYTES and all(
        part not in (b"", b".", b"..") and b"\0" not in part and len(part) <= _MAX_NAME_BYTES
        for part in parts
    )


def check_arguments(argv: tuple[str, ...]) -> None:
    """Raise :class:`InputError` if arguments cannot be passed to a process."""
    try:
        size = sum(len(argument.encode()) + 1 for argument in argv)
    except UnicodeEncodeError as error:
        raise InputError("an argument is not valid Unicode") from error
    if size > _MAX_ARGUMENT_BYTES:
        raise InputError(f"more than {_MAX_ARGUMENT_BYTES} bytes of arguments")
    if any("\0" in argument for argument in argv):
        raise InputError("an argument holds a null character")


def _max_header_bytes(script: Script) -> int:
    # JSON needs at most 12 bytes for a character.
    return 16 * 1024 + sum(12 * len(path) + 1024 for path in script.collect)


def _split(data: bytes, longest: int) -> tuple[dict[str, Any], memoryview]:
    if len(data) < 4:
        raise ProtocolError("there is no reply, or it is cut off")
    (size,) = struct.unpack_from("<I", data)
    if size > min(longest, len(data) - 4):
        raise ProtocolError("the reply's header is cut off, or too long")
    try:
        header = json.loads(data[4 : 4 + size].decode())
    except (ValueError, RecursionError) as error:
        raise ProtocolError("the reply's header is not JSON") from error
    if not isinstance(header, dict) or header.keys() - {_UNPROVEN} != _KEYS:
        raise ProtocolError("the reply's header has not the keys it should have")
    return header, memoryview(data)[4 + size :]


def _cut(body: memoryview, sizes: list[int]) -> list[bytes]:
    if sum(sizes) != len(body):
        raise ProtocolError(f"{len(body)} bytes follow the header, {sum(sizes)} are announced")
    parts = []
    for size in sizes:
        parts.append(bytes(body[:size]))
        body = body[size:]
    return parts


def _count(value: object, most: int = _MAX_COUNT) -> int:
    # By exact type: True is an int too.
    if type(value) is not int or not 0 <= value <= most:
        raise ProtocolError("a number in the reply is out of range")
    return value


def _text(value: object) -> str:
    if type(value) is not str or len(value) > _MAX_TEXT:
        raise ProtocolError("a text in the reply is not one, or too long")
    return value.encode("utf-8", "replace").decode()


def _end(exit_code: object, signal_number: object) -> tuple[int | None, int | None]:
    if (exit_code is None) == (signal_number is None):
        raise ProtocolError("the reply must have either an exit code or a signal")
    if exit_code is None:
        return None, _count(signal_number, 127)
    return _count(exit_code, 255), None


def _limit(value: object) -> Status | None:
    if value is None:
        return None
    if type(value) is not str or value not in _GUEST_LIMITS:
        raise ProtocolError("the reply names an unknown limit")
    return _GUEST_LIMITS[value]


def _pairs(value: object, wanted: set[str]) -> list[tuple[str, object]]:
    if not isinstance(value, list):
        raise ProtocolError("the reply's files are not a list")
    seen = set()
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) is not str:
            raise ProtocolError("a file in the reply is not a pair")
        if pair[0] not in wanted or pair[0] in seen:
            raise ProtocolError("the reply has a file that was not asked for, or has it twice")
        seen.add(pair[0])
    return [(path, item) for path, item in value]


def _files(value: object, collect: tuple[str, ...], most: int) -> dict[str, int]:
    sizes = {path: _count(size, most) for path, size in _pairs(value, set(collect))}
    if sum(sizes.values()) > most:
        raise ProtocolError("the reply's files are too large")
    return sizes


def _omitted(value: object, wanted: set[str]) -> dict[str, str]:
    return {path: _text(why) for path, why in _pairs(value, wanted)}
