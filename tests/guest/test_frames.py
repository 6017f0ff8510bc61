"""Frames between host and guest: the two sides agree, and hostile bytes do no harm."""

from __future__ import annotations

import json
import marshal
import re
import struct
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import ProtocolError
from executor.guest import program, spawn
from executor.wire import frames, layout
from executor.wire.frames import (
    Call,
    How,
    Order,
    Outcome,
    Record,
    RecordKind,
    Source,
    decode_parse_reply,
    decode_reply,
    decode_result,
    encode_jobs,
)

_SOURCES = Path(frames.__file__).parents[1] / "guest/core"
CORE = "".join(path.read_text() for path in sorted(_SOURCES.glob("*.[ch]")))


# ---- agreement -----------------------------------------------------------------------------------


def c_fields(name: str) -> str:
    """The :mod:`struct` format of a packed C structure of the core."""
    found = re.search(rf"struct {name} \{{(.*?)\}} __attribute__", CORE, re.S)
    assert found is not None
    letters = {"uint8_t": "B", "int32_t": "i", "uint32_t": "I", "uint64_t": "Q"}
    formats = ""
    for kind, names in re.findall(r"(\w+) ([\w, ]+);", found[1]):
        formats += letters[kind] * len(names.split(","))
    return formats


def test_the_core_lays_out_jobs_and_reports_as_declared() -> None:
    assert "<" + c_fields("job") == layout.JOB
    assert "<" + c_fields("report") == "<I" + layout.REPORT[1:]  # with its size in front
    assert "<" + c_fields("script_head") == layout.SCRIPT
    assert f"#define SLACK {layout.SLACK}u" in CORE


def test_the_core_has_the_same_numbers() -> None:
    for pattern in (r"enum outcome \{(.*?)\}", r"enum \{ (NATURAL, .*?) \}"):
        found = re.search(pattern, CORE)
        assert found is not None
        names = [name.strip() for name in found[1].split(",")]
        assert [getattr(layout, name) for name in names] == list(range(len(names)))


def test_the_core_has_the_same_bits() -> None:
    bits = {name: int(bit) for name, bit in re.findall(r"SAW_(\w+) = (\d+)", CORE)}
    assert f"#define END_OF_RUN {layout.END_OF_RUN} " in CORE
    assert bits == {name: getattr(layout, name) for name in bits}
    assert sum(bits.values()) == layout.ALL_SOURCES | layout.TAMPERING | layout.REFUSAL
    assert spawn.sources_seen() == sum(Source) == layout.ALL_SOURCES


@pytest.mark.parametrize("numbers", [Outcome, How, RecordKind, Order])
def test_the_host_has_a_name_for_each_number(numbers: type[IntEnum]) -> None:
    assert [each.value for each in numbers] == list(range(len(numbers)))
    assert all(getattr(layout, each.name) == each for each in numbers)


def test_the_host_has_a_name_for_each_source() -> None:
    assert all(getattr(layout, str(each.name)) == each for each in Source)


@given(
    line=st.integers(0, 300),
    calls=st.lists(st.tuples(st.sampled_from(How), st.binary(max_size=20)), max_size=5),
    order=st.sampled_from(Order),
)
def test_jobs_arrive_as_they_were_sent(
    line: int, calls: list[tuple[How, bytes]], order: Order
) -> None:
    code = (lambda: None).__code__.replace(co_firstlineno=line)
    jobs = encode_jobs(
        7,
        wall_ms=1,
        cpu_s=2,
        memory_bytes=1 << 40,
        output_bytes=4,
        order=order,
        code=marshal.dumps(code),
        calls=[Call(how, data) for how, data in calls],
    )
    assert len(jobs) == len(calls)
    for number, (job, (how, data)) in enumerate(zip(jobs, calls, strict=True), 7):
        assert int.from_bytes(job[:4], "little") == len(job) - 4
        *numbers, flags = frames.JOB.unpack_from(job, 4)
        assert numbers == [number, 1, 2, 1 << 40, 4]
        assert flags == order << layout.ORDER_SHIFT
        assert program.split_job(job[4 + frames.JOB.size :]) == (code, (how, data))


# ---- hostile bytes -------------------------------------------------------------------------------


def record(kind: int, payload: bytes) -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(4, "little") + payload


@given(st.binary(max_size=120))
def test_any_bytes_are_a_reply_or_a_protocol_error(data: bytes) -> None:
    try:
        reply = decode_reply(data)
    except ProtocolError:
        return
    assert len(data) >= frames.REPORT.size
    assert reply.outcome in Outcome


@given(
    outcome=st.integers(0, 1),
    notes=st.sampled_from([0, 0, 1, 8, 255]),
    kind=st.sampled_from([0, 0, 1, 99]),
    payload=st.binary(max_size=9),
    more=st.integers(-1, 1),
)
def test_a_plain_value_is_read_in_one_step_as_in_two(
    outcome: int, notes: int, kind: int, payload: bytes, more: int
) -> None:
    head = frames.REPORT.pack(7, outcome, 0, 5, 11, 12, 13, 0)
    size = max(0, len(payload) + more).to_bytes(4, "little")
    data = head + bytes((notes, kind)) + size + payload
    found = frames.plain_value(data)
    reply = decode_reply(data)
    result = decode_result(reply.records) if reply.outcome is Outcome.RESULT else None
    plain = result == (Source(0), False, None, (RecordKind.VALUE, payload))
    assert found == ((7, 11, 12, 13, payload) if plain else None)


@given(data=st.binary(max_size=80))
def test_any_bytes_are_a_result_or_none(data: bytes) -> None:
    result = decode_result(data)
    if result is not None:
        sources, tampering, refusal, found = result
        ended = refusal is not None and refusal.ended_run
        assert (found is None) == ended
        flags = sources | layout.TAMPERING * tampering | layout.END_OF_RUN * ended
        told = b""
        if refusal is not None:
            flags |= layout.REFUSAL
            told = frames._REFUSED.pack(refusal.call, refusal.line)
        assert bytes((flags,)) + told + (record(*found) if found else b"") == data


@given(
    sources=st.integers(0, 7),
    tampering=st.booleans(),
    kind=st.sampled_from(RecordKind),
    payload=st.binary(max_size=30),
)
def test_a_well_formed_result_is_read_whole(
    sources: int, tampering: bool, kind: RecordKind, payload: bytes
) -> None:
    flags = sources | layout.TAMPERING * tampering
    data = bytes((flags,)) + record(kind, payload)
    expected = Record(kind, payload)
    assert decode_result(data) == (Source(sources), tampering, None, expected)


@given(
    kind=st.sampled_from(RecordKind),
    payload=st.binary(max_size=9),
    extra=st.binary(min_size=1, max_size=6),
)
def test_a_result_that_is_cut_or_longer_is_none(
    kind: RecordKind, payload: bytes, extra: bytes
) -> None:
    data = b"\0" + record(kind, payload)
    for end in range(len(data)):
        assert decode_result(data[:end]) is None
    assert decode_result(data + extra) is None
    assert decode_result(data + record(kind, payload)) is None
    assert decode_result(b"\x80" + data[1:]) is None


@given(data=st.binary(max_size=100), expected=st.integers(0, 3))
def test_any_bytes_of_the_parser_are_answers_or_a_protocol_error(
    data: bytes, expected: int
) -> None:
    try:
        answers = decode_parse_reply(data, expected)
    except ProtocolError:
        return
    assert len(answers) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=4) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(answers=json_values, blobs=st.binary(max_size=20), expected=st.integers(0, 3))
def test_any_json_of_the_parser_is_answers_or_a_protocol_error(
    answers: object, blobs: bytes, expected: int
) -> None:
    head = json.dumps(answers).encode()
    data = len(head).to_bytes(4, "little") + head + blobs
    try:
        read = decode_parse_reply(data, expected)
    except ProtocolError:
        return
    assert len(read) == expected
    assert b"".join(blob for each in read for blob in each.blobs) == blobs


@pytest.mark.parametrize(
    "sizes", [[-1], [-1, 1], [1 << 70], ["1"], [1.5], [None], None, 3, {"0": 1}]
)
def test_sizes_of_the_parser_that_are_none_are_a_protocol_error(sizes: object) -> None:
    head = json.dumps([["literal", sizes]]).encode()
    with pytest.raises(ProtocolError):
        decode_parse_reply(struct.pack("<I", len(head)) + head, 1)
