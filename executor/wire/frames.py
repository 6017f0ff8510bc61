"""The host's side of the frames that go to warm guests and come back.

Every frame is a u32 size (little-endian) and that many bytes. The layouts are those of
:mod:`executor.wire.layout`; ``executor/guest/program.py`` describes a job's body. What comes from
a zygote's child is hostile: its length, shape and text are checked here, and a violation is an
outcome of that run or, in a reply's own header, a :class:`executor.errors.ProtocolError`.
"""

from __future__ import annotations

import json
import marshal
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


class Outcome(IntEnum):
    """How the zygote saw a child end."""

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
    """What the data of a call are."""

    VALUES = layout.VALUES
    ENCODED = layout.ENCODED
    EXPRESSION = layout.EXPRESSION
    NAMED = layout.NAMED
    """Arguments in one of the first two ways, and what is called with them: see :func:`named`."""


class RecordKind(IntEnum):
    """What a record of a child says about one call."""

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
    """What the zygote reports of one job."""

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
    """What the child reports of one call: hostile text."""

    kind: RecordKind
    payload: bytes


class Job(NamedTuple):
    """A program to run in a process of its own."""

    number: int
    wall_ms: int
    cpu_s: int
    memory_bytes: int
    output_bytes: int
    """Of each value."""
    order: Order
    code: bytes
    calls: Sequence[Call]


def encode_job(job: Job) -> bytes:
    """Return the frame of one job."""
    *head, order, code, calls = job
    parts = [
        JOB.pack(*head, order << layout.ORDER_SHIFT),
        len(code).to_bytes(4, "little"),
        code,
        len(calls).to_bytes(2, "little"),
    ]
    for how, data in calls:
        parts += (bytes((how,)), len(data).to_bytes(4, "little"), data)
    return frame(b"".join(parts))


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


def decode_reply(payload: bytes) -> Reply:
    """Read a zygote's reply; raises :class:`ProtocolError`."""
    try:
        number, outcome, *facts = REPORT.unpack_from(payload)
        return Reply._make([number, Outcome(outcome), *facts, payload[REPORT.size :]])
    except (struct.error, ValueError) as error:
        raise ProtocolError(f"bad reply: {error}") from error


class Source(IntFlag):
    """Sources of nondeterminism that a run used; it need not depend on them."""

    HASH_ORDER = layout.HASH_ORDER
    ENTROPY = layout.ENTROPY
    CLOCK = layout.CLOCK
    IDENTITY = layout.IDENTITY
    """A hash, an address or a number of the process."""


_ALL_BITS = layout.TAMPERING | layout.REFUSAL | layout.END_OF_RUN | layout.ALL_SOURCES
_REFUSED = struct.Struct(layout.REFUSED)
_LAST_KIND = max(RecordKind)


class Refusal(NamedTuple):
    """A system call that was refused."""

    call: int
    line: int
    """Of the program; 0: unknown."""
    ended_run: bool
    """Whether the run ended with it; else the program got an error."""


class Result(NamedTuple):
    """What a child sent."""

    sources: Source
    tampering: bool
    """Whether names that checkers rest on were changed: a hint."""
    refusal: Refusal | None
    """The first refused call that was a sign of cheating, or the one that ended the run."""
    records: list[Record]


def decode_result(data: bytes, expected: int) -> Result | None:
    """Split a child's result; ``None`` if it does not hold exactly ``expected`` records, or none if
    a refused call ended the run."""
    if not data or data[0] & ~_ALL_BITS:
        return None
    refusal, at = None, 1
    ended = bool(data[0] & layout.END_OF_RUN)
    if data[0] & layout.REFUSAL:
        if len(data) < at + _REFUSED.size:
            return None
        call, line = _REFUSED.unpack_from(data, at)
        refusal = Refusal(call, line, ended)
        at += _REFUSED.size
    elif ended:
        return None
    records = []
    while at < len(data):
        end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "little")
        if len(data) < at + 5 or end > len(data) or data[at] > _LAST_KIND:
            return None
        records.append(Record(RecordKind(data[at]), data[at + 5 : end]))
        at = end
    if len(records) != (0 if ended else expected):
        return None
    sources = Source(data[0] & layout.ALL_SOURCES)
    return Result(sources, bool(data[0] & layout.TAMPERING), refusal, records)


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
