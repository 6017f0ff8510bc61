"""The host's side of the frames that go to warm guests and come back.

Every frame is a u32 size (little-endian) and that many bytes. The layouts are those of
:mod:`executor.wire.layout`; ``executor/guest/program.py`` describes a job's body. What comes from
a zygote's child is hostile: its length, shape and text are checked here, and a violation is an
outcome of that run or, in a reply's own header, a :class:`executor.errors.ProtocolError`.
"""

from __future__ import annotations

import json
import marshal
import signal
import struct
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Literal, NamedTuple

from executor.errors import ProtocolError
from executor.wire import layout

MAX_FRAME = 256 << 20

JOB = struct.Struct(layout.JOB)
REPORT = struct.Struct(layout.REPORT)
_SCRIPT = struct.Struct(layout.SCRIPT)
_HEAD = struct.Struct("<II")
"""Size and number of a job."""
_CALL = struct.Struct("<BI")


class Outcome(IntEnum):
    """The end of a child, as the zygote saw it."""

    RESULT = layout.RESULT
    WALL_LIMIT = layout.WALL_LIMIT
    OUTPUT_LIMIT = layout.OUTPUT_LIMIT
    NO_RESULT = layout.NO_RESULT
    FORGED = layout.FORGED
    CLOSED = layout.CLOSED
    SPAWN_FAILED = layout.SPAWN_FAILED
    CPU_LIMIT = layout.CPU_LIMIT
    """Of scripts only: those of others end by a signal."""


class How(IntEnum):
    """The meaning of a call's data."""

    VALUES = layout.VALUES
    ENCODED = layout.ENCODED
    EXPRESSION = layout.EXPRESSION
    NAMED = layout.NAMED
    """Arguments in one of the first two ways, and what is called with them: see :func:`named`."""


class RecordKind(IntEnum):
    """The meaning of a child's record of one call."""

    VALUE = layout.VALUE
    ERROR = layout.ERROR
    UNSERIALIZABLE = layout.UNSERIALIZABLE
    TOO_LARGE = layout.TOO_LARGE
    NO_MEMORY = layout.NO_MEMORY
    LOAD_ERROR = layout.LOAD_ERROR
    OBJECT = layout.OBJECT
    """Unserializable: an instance of a class of the program."""


class Order(IntEnum):
    """How a run is shown what may differ between processes: the order of sets of randomly hashed
    elements, hashes, addresses, numbers of the process, clocks (see ``guest/core/notes.c``)."""

    NATURAL = layout.NATURAL
    ROTATED = layout.ROTATED
    """Every element stands elsewhere than in natural order; every remainder of a hash is another
    one."""
    REVERSED = layout.REVERSED
    """Every two elements stand the other way round; every bit of a hash is another one."""
    SHUFFLED = layout.SHUFFLED
    """Otherwise in each run."""


class Call(NamedTuple):
    """One call of the program's ``f``, or one expression to evaluate in its namespace."""

    how: How
    data: bytes


def named(target: str, call: Call, *, mutates: bool = False) -> Call:
    """A call of something else than ``f``.

    Args:
        target: ``name``, or ``Class.method`` of an instance that is made for the call.
        call: how it would be of ``f``, with values for arguments.
        mutates: bring back ``(value, args, kwargs)``, as these are after the call.
    """
    name = target.encode()
    head = bytes((call.how, mutates)) + len(name).to_bytes(2, "little")
    return Call(How.NAMED, head + name + call.data)


class Reply(NamedTuple):
    """The zygote's report of one job."""

    number: int
    outcome: Outcome
    wait_status: int
    pid: int
    cpu_us: int
    wall_us: int
    peak_kib: int
    leftovers: int
    records: bytes


class Record(NamedTuple):
    """The child's report of one call: hostile text."""

    kind: RecordKind
    payload: bytes


def encode_jobs(
    first_number: int,
    *,
    wall_ms: int,
    cpu_s: int,
    memory_bytes: int,
    output_bytes: int,
    order: Order,
    code: bytes,
    calls: Sequence[Call],
) -> list[bytes]:
    """Return the frames of jobs that make one call each of the same program.

    Numbers count up from the first one. ``output_bytes`` bounds each value.
    """
    job = JOB.pack(0, wall_ms, cpu_s, memory_bytes, output_bytes, order << layout.ORDER_SHIFT)
    common = b"".join((job[4:], len(code).to_bytes(4, "little"), code))
    size = 4 + len(common) + _CALL.size
    return [
        b"".join(
            (
                _HEAD.pack(size + len(data), number & 0xFFFFFFFF),
                common,
                _CALL.pack(how, len(data)),
                data,
            )
        )
        for number, (how, data) in enumerate(calls, first_number)
    ]


def encode_script(
    number: int,
    *,
    wall_ms: int,
    cpu_s: int,
    memory_bytes: int,
    output_bytes: int,
    source: bytes,
    stdin: bytes,
    arguments: Sequence[bytes],
) -> bytes:
    """Return the frame of one script. ``output_bytes`` bounds stdout and stderr, each."""
    parts = [
        JOB.pack(number, wall_ms, cpu_s, memory_bytes, output_bytes, 0),
        _SCRIPT.pack(len(source), len(stdin)),
        source,
        stdin,
        *(argument + bytes(1) for argument in arguments),
    ]
    return frame(b"".join(parts))


def split_streams(payload: bytes, limit: int) -> tuple[bytes, bytes]:
    """Split a script's streams; raises :class:`ProtocolError` if one is over its limit."""
    end = 4 + int.from_bytes(payload[:4], "little")
    if end > len(payload) or end - 4 > limit or len(payload) - end > limit:
        raise ProtocolError("the streams of a script do not fit")
    return payload[4:end], payload[end:]


def frame(payload: bytes) -> bytes:
    """Put the size before a payload."""
    return len(payload).to_bytes(4, "little") + payload


_OUTCOMES = tuple(Outcome)


def decode_reply(payload: bytes) -> Reply:
    """Read a zygote's reply; raises :class:`ProtocolError`."""
    try:
        number, outcome, status, pid, cpu_us, wall_us, peak, left = REPORT.unpack_from(payload)
        ended = _OUTCOMES[outcome]
    except (struct.error, IndexError) as error:
        raise ProtocolError(f"bad reply: {error}") from error
    return Reply(number, ended, status, pid, cpu_us, wall_us, peak, left, payload[REPORT.size :])


_KILLS = (signal.SIGKILL, signal.SIGXCPU)


def was_killed(payload: bytes) -> bool:
    """Whether a reply says that a run was killed, be it for memory or for its time."""
    if len(payload) < REPORT.size:
        return False
    _, outcome, wait_status, *_ = REPORT.unpack_from(payload)
    return outcome == Outcome.NO_RESULT and wait_status & 0x7F in _KILLS


def taken_s(payload: bytes) -> float:
    """Seconds that a run took by its guest's clock; 0 if the reply does not say."""
    if len(payload) < REPORT.size:
        return 0.0
    *_, wall_us, _, _ = REPORT.unpack_from(payload)
    return float(wall_us) / 1e6


class Source(IntFlag):
    """Sources of nondeterminism that a run used; it need not depend on them."""

    HASH_ORDER = layout.HASH_ORDER
    ENTROPY = layout.ENTROPY
    CLOCK = layout.CLOCK
    IDENTITY = layout.IDENTITY
    """A hash, an address or a number of the process."""


_ALL_BITS = layout.TAMPERING | layout.REFUSAL | layout.END_OF_RUN | layout.ALL_SOURCES
_SOURCES_OF = tuple(Source(bits & layout.ALL_SOURCES) for bits in range(_ALL_BITS + 1))
_REFUSED = struct.Struct(layout.REFUSED)
_RECORD = struct.Struct("<BI")
_KINDS = tuple(RecordKind)
_PLAIN_VALUE = struct.Struct(layout.REPORT + "BBI")
"""Most replies: the run returned a value, and nothing was noted."""


class Refusal(NamedTuple):
    """A system call that was refused."""

    call: int
    line: int
    """Of the program; 0: unknown."""
    ended_run: bool
    """Whether the run ended with it; else the program got an error."""


class Result(NamedTuple):
    """The message of a child."""

    sources: Source
    tampering: bool
    """Whether names that checkers rest on were changed: a hint."""
    refusal: Refusal | None
    """The first refused call that was a sign of cheating, or the one that ended the run."""
    record: Record | None
    """``None`` if a refused call ended the run."""


class PlainValue(NamedTuple):
    """All that matters of a reply that brings a value and no notes."""

    number: int
    cpu_us: int
    wall_us: int
    peak_kib: int
    value: bytes


def plain_value(payload: bytes) -> PlainValue | None:
    """A reply, in one step, if it is such a one; else :func:`decode_reply` says what it is."""
    if len(payload) < _PLAIN_VALUE.size:
        return None
    number, outcome, _, _, cpu_us, wall_us, peak_kib, _, notes, kind, size = (
        _PLAIN_VALUE.unpack_from(payload)
    )
    if outcome or notes or kind or size != len(payload) - _PLAIN_VALUE.size:
        return None
    return PlainValue(number, cpu_us, wall_us, peak_kib, payload[_PLAIN_VALUE.size :])


def decode_result(data: bytes) -> Result | None:
    """Split a child's result; ``None`` if it is not in order."""
    try:
        return _split_result(data)
    except (struct.error, IndexError):
        return None


def _split_result(data: bytes) -> Result | None:
    notes, at = data[0], 1
    sources, ended = _SOURCES_OF[notes], bool(notes & layout.END_OF_RUN)
    refusal, record = None, None
    if notes & layout.REFUSAL:
        call, line = _REFUSED.unpack_from(data, at)
        refusal = Refusal(call, line, ended)
        at += _REFUSED.size
    elif ended:
        return None
    if not ended:
        kind, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        record = Record(_KINDS[kind], data[at : at + size])
        at += size
    if at != len(data) or notes & ~_ALL_BITS:
        return None
    return Result(sources, bool(notes & layout.TAMPERING), refusal, record)


ParseKind = Literal["program", "arguments", "value", "expression", "tests"]
RulesTuple = tuple[tuple[str, ...], tuple[str, ...], int, int, int, bool]
"""The fields of :class:`executor.models.Rules`, in their order, and whether ``f`` is wanted."""
ParseItem = tuple[ParseKind, str, RulesTuple | None]
"""What to parse: a program with its screening rules (``None``: not screened), the text between the
parentheses of a call, one expression or what Python prints for a value, one expression only, or
code with assertions."""


class Parsed(NamedTuple):
    """The parser's answer to one item; see ``executor/guest/parser.py``."""

    outcome: str
    facts: list[object]
    blobs: list[bytes]


def encode_parse_request(items: Sequence[ParseItem]) -> bytes:
    """Return the frame that asks the parser about some items."""
    return frame(marshal.dumps(list(items)))


def decode_parse_reply(payload: bytes, expected: int) -> list[Parsed]:
    """Read the parser's reply; raises :class:`ProtocolError`."""
    try:
        at = 4 + int.from_bytes(payload[:4], "little")
        answers = json.loads(payload[4:at])
        parsed = []
        for outcome, *facts, sizes in answers:
            blobs = []
            for size in sizes:
                if type(size) is not int or size < 0:
                    raise ValueError(f"a size of {size!r}")
                blobs.append(payload[at : at + size])
                at += size
            parsed.append(Parsed(outcome, facts, blobs))
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolError(f"bad reply of the parser: {error}") from error
    if len(parsed) != expected or at != len(payload):
        raise ProtocolError("the parser's reply does not fit the request")
    return parsed
