"""Frames between host and guest: the two sides agree, and hostile bytes do no harm."""

from __future__ import annotations

import json
import re
import struct
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import ProtocolError
from executor.guest import frames as wire
from executor.guest import program, spawn
from executor.wire import frames
from executor.wire.frames import (
    Call,
    How,
    Kind,
    Order,
    Outcome,
    Record,
    Source,
    decode_parse_reply,
    decode_reply,
    decode_result,
    encode_job,
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


def test_both_sides_lay_out_jobs_and_replies_alike() -> None:
    assert frames._JOB.format == spawn._JOB.format == "<" + c_fields("job")
    assert frames._REPLY.format == spawn._REPORT.format
    assert "<" + c_fields("report") == "<I" + frames._REPLY.format[1:]  # with its size in front


def test_outcomes_have_the_same_numbers_everywhere() -> None:
    found = re.search(r"enum outcome \{(.*?)\}", CORE)
    assert found is not None
    in_c = [name.strip() for name in found[1].split(",")]
    assert in_c == [outcome.name for outcome in sorted(Outcome)]
    assert {name: getattr(spawn, name) for name in in_c} == {each.name: each for each in Outcome}


@pytest.mark.parametrize("numbers", [How, Kind])
def test_records_and_calls_have_the_same_numbers(numbers: type[IntEnum]) -> None:
    assert {each.name: getattr(program, each.name) for each in numbers} == {
        each.name: each.value for each in numbers
    }


def test_flags_and_sources_have_the_same_bits() -> None:
    assert frames._ORDER_SHIFT == program.ORDER_SHIFT
    assert "enum { NATURAL, ROTATED, REVERSED, SHUFFLED };" in CORE
    assert [each.name for each in Order] == ["NATURAL", "ROTATED", "REVERSED", "SHUFFLED"]
    sources = {name: int(bit) for name, bit in re.findall(r"SAW_(\w+) = (\d+)", CORE)}
    assert sources.pop("REFUSAL") == frames._REFUSAL == program._REFUSAL
    assert f"#define END_OF_RUN {frames._END_OF_RUN} " in CORE
    assert sources.pop("TAMPERING") == frames._TAMPERING == spawn._TAMPERING
    assert sources == {each.name: each.value for each in Source}
    assert spawn.sources_seen() == sum(Source)


def test_both_sides_know_the_same_first_word() -> None:
    assert frames.READY == wire.READY


@given(
    code=st.binary(max_size=40),
    calls=st.lists(st.tuples(st.sampled_from(How), st.binary(max_size=20)), max_size=5),
    order=st.sampled_from(Order),
)
def test_a_job_arrives_as_it_was_sent(
    code: bytes, calls: list[tuple[How, bytes]], order: Order
) -> None:
    job = encode_job(
        7,
        wall_ms=1,
        cpu_s=2,
        memory_bytes=1 << 40,
        output_bytes=4,
        order=order,
        code=code,
        calls=[Call(how, data) for how, data in calls],
    )
    assert int.from_bytes(job[:4], "little") == len(job) - 4
    *numbers, flags = spawn._JOB.unpack_from(job, 4)
    assert numbers == [7, 1, 2, 1 << 40, 4]
    assert flags == order << program.ORDER_SHIFT
    rest = job[4 + spawn._JOB.size :]
    size = int.from_bytes(rest[:4], "little")
    assert rest[4 : 4 + size] == code


# ---- hostile bytes -------------------------------------------------------------------------------


def record(kind: int, payload: bytes) -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(4, "little") + payload


@given(st.binary(max_size=120))
def test_any_bytes_are_a_reply_or_a_protocol_error(data: bytes) -> None:
    try:
        reply = decode_reply(data)
    except ProtocolError:
        return
    assert len(data) >= frames._REPLY.size
    assert reply.outcome in Outcome


@given(data=st.binary(max_size=80), expected=st.integers(0, 4))
def test_any_bytes_are_a_result_or_none(data: bytes, expected: int) -> None:
    result = decode_result(data, expected)
    if result is not None:
        sources, tampering, refusal, records = result
        ended = refusal is not None and refusal.ended_run
        assert len(records) == (0 if ended else expected)
        flags = sources | frames._TAMPERING * tampering | frames._END_OF_RUN * ended
        told = b""
        if refusal is not None:
            flags |= frames._REFUSAL
            told = frames._REFUSED.pack(refusal.call, refusal.line)
        assert bytes((flags,)) + told + b"".join(record(*each) for each in records) == data


@given(
    sources=st.integers(0, 7),
    tampering=st.booleans(),
    records=st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=30)), max_size=5),
)
def test_a_well_formed_result_is_read_whole(
    sources: int, tampering: bool, records: list[tuple[Kind, bytes]]
) -> None:
    flags = sources | frames._TAMPERING * tampering
    data = bytes((flags,)) + b"".join(record(*each) for each in records)
    expected = [Record(kind, payload) for kind, payload in records]
    assert decode_result(data, len(records)) == (Source(sources), tampering, None, expected)


@given(
    records=st.lists(
        st.tuples(st.sampled_from(Kind), st.binary(max_size=9)), min_size=1, max_size=4
    ),
    extra=st.binary(min_size=1, max_size=6),
)
def test_a_result_that_is_cut_longer_or_miscounted_is_none(
    records: list[tuple[Kind, bytes]], extra: bytes
) -> None:
    data = b"\0" + b"".join(record(*each) for each in records)
    assert decode_result(data[:-1], len(records)) is None
    assert decode_result(data, len(records) + 1) is None
    assert decode_result(data, len(records) - 1) is None
    assert decode_result(data + extra, len(records)) is None
    assert decode_result(b"\x80" + data[1:], len(records)) is None
    assert decode_result(b"", 0) is None


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
