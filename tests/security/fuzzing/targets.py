"""What is fuzzed: each target takes any bytes, and raises if a promise does not hold.

Plain functions: ``fuzz.py`` runs them under atheris, ``test_fuzz.py`` under hypothesis
and with the corpus.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import struct
import warnings
import zlib
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from executor.backends.docker.streams import AttachStream
from executor.backends.sandboxfusion import wire as sandboxfusion_wire
from executor.errors import ProtocolError
from executor.grammar import literals
from executor.grammar.compare import equal, first_difference
from executor.grammar.decode import DecodeError, decode
from executor.grammar.encode import encode
from executor.grammar.literals import Malformed, NotLiteral, parse_arguments, parse_value
from executor.grammar.text import literal_text
from executor.models import Limits, Script, ScriptResult, Status
from executor.pool.outcomes import understand
from executor.pool.parse_cache import _quick_answer
from executor.pool.runner import _fits
from executor.pool.worker import RawReply, Worker
from executor.verification.values import FORGED, Value, value_of
from executor.wire import scripts as script_frames
from executor.wire.frames import (
    MAX_FRAME,
    Outcome,
    RecordKind,
    Source,
    decode_parse_reply,
    decode_reply,
    decode_result,
    split_streams,
)
from tests.security.fuzzing.literals import Choices, evaluated, pair, strictly_equal
from tests.security.fuzzing.rows import counts, differ, growth

Target = Callable[[bytes], None]

_NO_LIMIT = 1 << 62
_LARGE = 30_000
"""Bytes of a value that is not checked further: short text can make such values, and everything
done to them takes its time."""
_DEEPEST_TEXT = 199
"""Brackets inside each other that CPython's tokenizer takes, our own pair included."""
_LIMITS = Limits(output_kib=1)
_SCRIPT = Script(source="", collect=("a.txt", "b/c"))


def same(a: object, b: object) -> bool:
    """Whether two values are the same in all but the payload of NaNs."""
    if encode(a, _NO_LIMIT) == encode(b, _NO_LIMIT):
        return True
    return equal(a, b, strict=True) and literal_text(a) == literal_text(b)


# ---- frames --------------------------------------------------------------------------------------


def frames(data: bytes) -> None:
    """The first byte says whose bytes the others are; any are well formed, or a typed outcome."""
    if data:
        _FRAMES[data[0] % len(_FRAMES)](data[1:])


def _zygote_reply(data: bytes) -> None:
    try:
        reply = decode_reply(data)
    except ProtocolError:
        return
    assert reply.outcome in Outcome
    assert data.endswith(reply.records)


def _run(data: bytes) -> None:
    """A reply with a head of our own choice, as far as the outcomes of its calls."""
    if not data:
        return
    killed, data = bool(data[0] % 2), data[1:]
    answer = RawReply(data, killed)
    number = int.from_bytes(data[:4], "little")
    run = understand(answer, number, _LIMITS)
    if run is None:
        return
    outcome = run.outcome
    assert (outcome.value is not None) == (outcome.status is Status.OK)
    value = value_of(outcome)
    if isinstance(value, Value):
        _check_value(value.decoded, value.data)
    else:
        assert value is outcome or value.status is FORGED.status
        value.detail.encode()
    assert understand(answer, number + 1, _LIMITS) is None


def _result(data: bytes) -> None:
    result = decode_result(data)
    if result is None:
        return
    assert 0 <= result.sources <= sum(Source)
    if result.record is not None:
        kind, payload = result.record
        assert kind in RecordKind
        assert data.endswith(bytes((kind,)) + struct.pack("<I", len(payload)) + payload)


def _parse_reply(data: bytes) -> None:
    for expected in (1, 2):
        try:
            answers = decode_parse_reply(data, expected)
        except ProtocolError:
            continue
        assert len(answers) == expected
        assert data.endswith(b"".join(blob for each in answers for blob in each.blobs))
        for kind in ("program", "arguments", "value"):
            for parsed in answers:
                assert type(_fits((kind, "", None), parsed)) is bool


def _script_reply(data: bytes) -> None:
    try:
        reply = script_frames.decode_reply(data, _SCRIPT, _LIMITS)
    except ProtocolError:
        return
    assert reply.files.keys() | reply.omitted.keys() == set(_SCRIPT.collect)
    assert max(len(reply.stdout), len(reply.stderr)) <= _LIMITS.output_kib * 1024
    for kills in (0, 1):
        result = script_frames.script_result(reply, _LIMITS, memory_kills=kills)
        assert ScriptResult.model_validate_json(result.model_dump_json()) == result


def _streams(data: bytes) -> None:
    try:
        stdout, stderr = split_streams(data, 64)
    except ProtocolError:
        return
    assert max(len(stdout), len(stderr)) <= 64
    assert data.endswith(stdout + stderr)


def _server_lines(data: bytes) -> None:
    key = b"k" * 32
    assert sandboxfusion_wire.read_lines(key, data) == {}  # nobody guesses a hash
    number, _, payload = data.partition(b"\n")
    packed = base64.b64encode(zlib.compress(payload, 1))
    for line in (packed, payload):
        content = b"%s %s" % (number, line)
        mac = hashlib.blake2b(content, key=key, digest_size=16).hexdigest().encode()
        text = b"%s %s %s" % (number, mac, line)
        for found in sandboxfusion_wire.read_lines(key, data, text).values():
            assert line is not packed or found == payload


def _attach_stream(data: bytes) -> None:
    """Docker's frames: however they are cut, the output is the same."""
    if not data:
        return
    size, data = 1 + data[0], data[1:]
    outputs = []
    for step in (size, len(data) + 1):
        stream = object.__new__(AttachStream)
        stream._head, stream._left, stream._keep = bytearray(), 0, False
        stream._out = bytearray()
        for start in range(0, len(data), step):
            stream._take(memoryview(data)[start : start + step])
        outputs.append(bytes(stream._out))
    assert outputs[0] == outputs[1]


def _replies(data: bytes) -> None:
    """A guest's stream: replies in order, or the end of the guest."""
    if not data:
        return
    size, data = 1 + data[0], data[1:]
    seen: list[bytes] = []
    worker: Any = SimpleNamespace(_incoming=bytearray(), in_flight=deque("abcd"), ended=False)

    def answer(payload: bytes) -> None:
        worker.in_flight.popleft()
        seen.append(payload)

    def end() -> None:
        worker.ended = True

    worker._answer, worker.end = answer, end
    for start in range(0, len(data), size):
        if not worker.ended:
            worker._incoming += data[start : start + size]
            Worker._take_frames(worker)
    whole = b"".join(struct.pack("<I", len(each)) + each for each in seen)
    assert data.startswith(whole)
    assert len(seen) <= 4
    rest = data[len(whole) :]
    if worker.ended:
        assert not worker.in_flight or int.from_bytes(rest[:4], "little") > MAX_FRAME
    else:
        assert len(rest) < 4 or len(rest) < 4 + int.from_bytes(rest[:4], "little")


_FRAMES: tuple[Target, ...] = (
    _zygote_reply, _run, _result, _parse_reply, _script_reply, _streams, _server_lines,
    _attach_stream, _replies,
)  # fmt: skip


# ---- values --------------------------------------------------------------------------------------


def values(data: bytes) -> None:
    """Any bytes are a value, which can be written, read and compared, or a ``DecodeError``."""
    try:
        value = decode(data)
    except DecodeError:
        return
    _check_value(value, data)


def _check_value(value: object, data: bytes) -> None:
    canonical = encode(value, _NO_LIMIT)
    # Members of sets may come in any order, and a NaN with any payload.
    assert len(canonical) == len(data)
    again = decode(canonical)
    if len(data) > _LARGE:
        return
    assert same(again, value)
    for strict in (False, True):
        assert equal(again, value, strict)
        assert first_difference(again, value, strict) == "no difference"
    _check_text(value)


def _check_text(value: object) -> None:
    text = literal_text(value)
    if literals._nesting(f"[{text}]") <= _DEEPEST_TEXT:
        assert same(parse_value(text), value)


# ---- answers -------------------------------------------------------------------------------------


def answers(data: bytes) -> None:
    """Any text is a value that CPython agrees with, or not a literal, or malformed."""
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    found = _read(parse_value, text)
    if type(found) is tuple:
        (value,) = found
        data = encode(value, _NO_LIMIT)
        if len(data) > _LARGE:
            return
        _check_value(value, data)
        expected = _literal_eval(text)
        assert expected is None or same(value, expected[0])
    _check_arguments(text, found)
    quick = literals.quick_values(text)
    if quick:
        value = quick[0] if len(quick) == 1 else tuple(quick)
        assert same(_read(literals._parse_value_tree, text), (value,))
        blob = _quick_answer(("value", text, None))
        assert blob is None or same(decode(blob.blobs[0]), value)


def _read(parse: Callable[[str], Any], text: str) -> object:
    try:
        return (parse(text),)
    except (Malformed, NotLiteral) as problem:
        return type(problem)


def _literal_eval(text: str) -> tuple[object] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (ast.literal_eval(f"({text}\n)"),)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _check_arguments(text: str, found: object) -> None:
    arguments = _read(parse_arguments, text)
    if type(arguments) is not tuple or type(found) is not tuple:
        return
    ((positional, named),) = arguments
    (value,) = found
    assert not named
    assert same(value, positional[0] if len(positional) == 1 else positional) or same(
        value, positional
    )


# ---- comparison ----------------------------------------------------------------------------------


def compare(data: bytes) -> None:
    """Two literals are equal exactly if CPython says so, and strictly if their types are, too."""
    first, second = pair(Choices(data))
    try:
        reference = evaluated(first), evaluated(second)
    except TypeError:  # a list in a set
        for text in (first, second):
            _check_refused(text)
        return
    if any(_nodes(evaluated(t)) != _nodes(evaluated(t, decimal_nan=True)) for t in (first, second)):
        return  # a set with both kinds of NaN: two members, which are one object in the reference
    found = _read(parse_value, first), _read(parse_value, second)
    if type(found[0]) is not tuple or type(found[1]) is not tuple:
        return  # complex('2j') and 1 << 80 are left to a sandbox
    a, b = found[0][0], found[1][0]
    expected = bool(reference[0] == reference[1])
    # Types of NaN count only here.
    exact = strictly_equal(evaluated(first, decimal_nan=True), evaluated(second, decimal_nan=True))
    _check_comparison(a, b, expected, exact)
    left, right = Value(encode(a)), Value(encode(b))
    assert left.equals(right) is expected, (first, second)
    assert left.equals(right, strict=True) is exact, (first, second)
    assert (left.difference(right) == "no difference") is expected, (first, second)


def _nodes(value: object) -> int:
    """How many values there are in a value, itself included."""
    if isinstance(value, dict):
        return 1 + sum(_nodes(key) + _nodes(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return 1 + sum(map(_nodes, value))
    return 1


def _check_comparison(a: object, b: object, expected: bool, exact: bool) -> None:
    for x, y in ((a, b), (b, a)):
        assert equal(x, y) is expected, (x, y)
        assert equal(x, y, strict=True) is exact, (x, y)
        assert (first_difference(x, y) == "no difference") is expected, (x, y)
        assert (first_difference(x, y, True) == "no difference") is exact, (x, y)


def _check_refused(text: str) -> None:
    try:
        evaluated(text)
    except TypeError:
        assert type(_read(parse_value, text)) is type, text


TARGETS: dict[str, Target] = {
    "frames": frames, "values": values, "answers": answers, "compare": compare, "differ": differ,
    "counts": counts, "growth": growth,
}  # fmt: skip
