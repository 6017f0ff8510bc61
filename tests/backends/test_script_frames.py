"""The frames between host and script guest: requests are checked, replies are not believed."""

from __future__ import annotations

import json
import signal
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import InputError, ProtocolError
from executor.models import Limits, Script, Status
from executor.wire.scripts import (
    ScriptReply,
    decode_reply,
    encode_request,
    max_reply_bytes,
    no_reply,
    script_result,
)

LIMITS = Limits(wall_s=2, cpu_s=1, memory_mib=64, output_kib=1, processes=4, files_mib=1)
SCRIPT = Script(source="pass", collect=("a", "b/c"))
HEADER: dict[str, Any] = {
    "exit_code": 0, "signal": None, "limit": None, "failure": None, "wall_us": 2000,
    "cpu_us": 1000, "peak_kib": 9000, "stdout": 3, "stderr": 2, "files": [["a", 4]],
    "omitted": [["b/c", "No such file or directory"]],
}  # fmt: skip
BODY = b"outer" + b"file"


def frame(header: object = HEADER, body: bytes = BODY) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + body


def reply(**changes: Any) -> ScriptReply:
    header = {**HEADER, **{key: value for key, value in changes.items() if key in HEADER}}
    stderr = changes.get("text", b"er")
    header["stderr"] = len(stderr)
    return decode_reply(frame(header, b"out" + stderr + b"file"), SCRIPT, LIMITS)


def parts(request: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack_from("<I", request)
    return json.loads(request[4 : 4 + size]), request[4 + size :]


# --- Requests


@given(
    source=st.text(max_size=50),
    stdin=st.text(max_size=50),
    files=st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "ö"]), st.binary(max_size=50)),
)
def test_request_holds_every_byte_once(source: str, stdin: str, files: dict[str, bytes]) -> None:
    header, body = parts(encode_request(Script(source=source, stdin=stdin, files=files), LIMITS))
    contents = []
    for path, size in [*header["files"], (None, header["stdin"])]:
        contents.append((path, body[:size]))
        body = body[size:]
    assert body == b""
    expected = {"script.py": source.encode("utf-8", "surrogatepass"), **files}
    assert contents == [*expected.items(), (None, stdin.encode("utf-8", "surrogatepass"))]


def test_request_carries_the_limits_in_bytes() -> None:
    header, _ = parts(encode_request(SCRIPT, LIMITS))
    assert (header["wall_s"], header["cpu_s"], header["processes"]) == (2, 1, 4)
    assert (header["output_bytes"], header["files_bytes"]) == (1024, 1 << 20)
    assert header["memory_bytes"] >= 64 << 20
    grouped, _ = parts(encode_request(SCRIPT, LIMITS, grouped=True))
    assert grouped == {**header, "processes": 5}


BAD_PATHS = [
    "", "/etc/x", "..", "../x", "a/../b", "a//b", "a/", "./a", ".", "a\0b", "\ud800", "x" * 256,
    "/".join(["y" * 200] * 6),
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS)
def test_path_that_could_escape_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="not a plain relative path"):
        encode_request(Script(source="", files={path: b""}), LIMITS)
    with pytest.raises(InputError, match="not a plain relative path"):
        encode_request(Script(source="", collect=(path,)), LIMITS)


@given(st.text(alphabet="./a\0", max_size=8))
def test_accepted_paths_stay_below_the_directory(path: str) -> None:
    try:
        encode_request(Script(source="", collect=(path,)), LIMITS)
    except InputError:
        return
    assert "\0" not in path
    assert all(part.strip(".") or len(part) > 2 for part in path.split("/"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"files": {"a": b"", "a/b": b""}}, "below a file"),
        ({"files": {"a/b/c": b"", "a/b": b""}}, "below a file"),
        ({"files": {"a": bytes(1 << 20)}}, "do not fit into 1 MiB"),
        ({"collect": ("a", "a")}, "each once"),
        ({"collect": tuple(map(str, range(1001)))}, "at most 1000"),
        ({"argv": ("a\0",)}, "null"),
        ({"argv": ("\ud800",)}, "Unicode"),
        ({"argv": ("x" * 40_000, "y" * 40_000)}, "65536 bytes of arguments"),
    ],
)
def test_request_that_cannot_be_served_says_why(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        encode_request(Script(source="pass", **options), LIMITS)


# --- Replies


def test_well_formed_reply_is_read() -> None:
    assert decode_reply(frame(), SCRIPT, LIMITS) == ScriptReply(
        exit_code=0,
        signal=None,
        limit=None,
        failure=None,
        wall_us=2000,
        cpu_us=1000,
        peak_kib=9000,
        stdout=b"out",
        stderr=b"er",
        files={"a": b"file"},
        omitted={"b/c": "No such file or directory"},
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"exit_code": None},
        {"exit_code": 0, "signal": 9},
        {"exit_code": True},
        {"exit_code": -1},
        {"exit_code": 256},
        {"exit_code": 0.0},
        {"exit_code": "0"},
        {"exit_code": None, "signal": 128},
        {"exit_code": None, "signal": "9"},
        {"limit": "memory_limit"},
        {"limit": 1},
        {"limit": ["wall_limit"]},
        {"failure": 1},
        {"failure": "x" * 5000},
        {"wall_us": -1},
        {"wall_us": 1e6},
        {"wall_us": float("nan")},
        {"wall_us": 1 << 64},
        {"cpu_us": None},
        {"peak_kib": []},
        {"stdout": 4},
        {"stdout": 2},
        {"stdout": 1025},
        {"stdout": -3, "stderr": 8},
        {"stderr": "2"},
        {"files": None},
        {"files": {"a": 4}},
        {"files": [["a", 4, 5]]},
        {"files": [["a"]]},
        {"files": ["a4"]},
        {"files": [[["a"], 4]]},
        {"files": [["a", 4], ["a", 0]]},
        {"files": [["b", 4]]},
        {"files": [["../a", 4]]},
        {"files": [["a", (1 << 20) + 1]]},
        {"files": [["a", 1 << 20], ["b/c", 1]], "omitted": []},
        {"files": [["a", True], ["b/c", 3]], "omitted": []},
        {"omitted": []},
        {"omitted": [["a", "twice"], ["b/c", ""]]},
        {"omitted": [["b/c", 1]]},
        {"omitted": [["b/c", "x" * 5000]]},
        {"another": 1},
    ],
)
def test_reply_with_a_bad_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(frame({**HEADER, **changes}), SCRIPT, LIMITS)


@pytest.mark.parametrize("key", HEADER)
def test_reply_without_a_field_is_refused(key: str) -> None:
    header = {name: value for name, value in HEADER.items() if name != key}
    with pytest.raises(ProtocolError):
        decode_reply(frame(header), SCRIPT, LIMITS)


@pytest.mark.parametrize("cut", range(len(frame())))
def test_reply_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(frame()[:cut], SCRIPT, LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        frame() + b"x",
        frame() + frame(),
        frame([]),
        frame(None),
        struct.pack("<I", 2) + b"\xff\xfe",
        struct.pack("<I", 2) + b"{}",
        struct.pack("<I", 1 << 31) + b"{}",
        struct.pack("<I", 15_000) + b"[" * 15_000,
        struct.pack("<I", 15_000) + b'{"exit_code":' + b"9" * 14_986 + b"}",
        json.dumps(HEADER).encode("utf-16"),
        bytes(4),
    ],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(data, SCRIPT, LIMITS)


def test_header_of_unreasonable_length_is_not_even_parsed() -> None:
    padded = json.dumps(HEADER).encode() + b" " * 100_000
    data = struct.pack("<I", len(padded)) + padded + BODY
    assert len(data) < max_reply_bytes(SCRIPT, LIMITS)
    with pytest.raises(ProtocolError, match="too long"):
        decode_reply(data, SCRIPT, LIMITS)


def test_reply_longer_than_any_well_formed_one_is_refused() -> None:
    data = frame() + bytes(max_reply_bytes(SCRIPT, LIMITS))
    with pytest.raises(ProtocolError, match="too long"):
        decode_reply(data, SCRIPT, LIMITS)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(data, SCRIPT, LIMITS)


@given(st.data())
def test_one_changed_byte_is_refused_or_stays_within_the_request(data: st.DataObject) -> None:
    changed = bytearray(frame())
    position = data.draw(st.integers(0, len(changed) - 1))
    changed[position] = data.draw(st.integers(0, 255))
    try:
        got = decode_reply(bytes(changed), SCRIPT, LIMITS)
    except ProtocolError:
        return
    assert got.files.keys() | got.omitted.keys() == set(SCRIPT.collect)
    assert len(got.stdout) + len(got.stderr) + sum(map(len, got.files.values())) == len(BODY)


def test_largest_reply_fits() -> None:
    name = "😀" * 60
    script = Script(source="", collect=(name,))
    sizes = {"stdout": 1024, "stderr": 1024, "files": [[name, 1 << 20]], "omitted": []}
    data = frame({**HEADER, **sizes}, bytes(2048 + (1 << 20)))
    assert len(data) <= max_reply_bytes(script, LIMITS)
    assert len(decode_reply(data, script, LIMITS).files[name]) == 1 << 20


def test_lone_surrogate_in_a_text_does_not_reach_the_result() -> None:
    got = reply(failure="\ud800")
    assert got.failure == "?"
    script_result(got, LIMITS).model_dump_json()


# --- What a reply means

CASES = [
    ({}, {}, Status.OK, 0),
    ({"exit_code": 3}, {}, Status.ERROR, 3),
    ({"exit_code": None, "signal": signal.SIGSEGV}, {}, Status.CRASHED, None),
    ({"exit_code": None, "signal": signal.SIGKILL}, {}, Status.CRASHED, None),
    ({"exit_code": None, "signal": 127}, {}, Status.CRASHED, None),
    ({"exit_code": None, "signal": signal.SIGSYS}, {}, Status.FORBIDDEN, None),
    ({"exit_code": None, "signal": signal.SIGXCPU}, {}, Status.CPU_LIMIT, None),
    ({"exit_code": None, "signal": 9, "cpu_us": 1_000_001}, {}, Status.CPU_LIMIT, None),
    ({"exit_code": None, "signal": 9}, {"memory_kills": 1}, Status.MEMORY_LIMIT, None),
    ({"exit_code": None, "signal": 11}, {"memory_kills": 1}, Status.CRASHED, None),
    ({"exit_code": 0, "cpu_us": 1_000_001}, {}, Status.CPU_LIMIT, 0),
    ({"exit_code": None, "signal": 9, "limit": "wall_limit"}, {}, Status.WALL_LIMIT, None),
    ({"exit_code": 0, "limit": "wall_limit"}, {}, Status.WALL_LIMIT, None),
    ({"exit_code": 0, "limit": "output_limit"}, {}, Status.OUTPUT_LIMIT, None),
    ({"exit_code": None, "signal": 9, "limit": "cpu_limit"}, {}, Status.CPU_LIMIT, None),
    ({"exit_code": 127, "failure": "OSError"}, {}, Status.INFRA, None),
    ({"exit_code": 1, "text": b"x\nMemoryError\n"}, {}, Status.MEMORY_LIMIT, 1),
    ({"exit_code": 1, "text": b"x\nMemoryError: why\n"}, {}, Status.MEMORY_LIMIT, 1),
    ({"exit_code": 0, "text": b"MemoryError\n"}, {}, Status.OK, 0),
    ({"exit_code": 1, "text": b"MemoryError\nother\n"}, {}, Status.ERROR, 1),
    ({"exit_code": 1}, {"memory_kills": 1}, Status.MEMORY_LIMIT, 1),
    ({"exit_code": 1, "cpu_us": 1_000_001}, {"memory_kills": 1}, Status.MEMORY_LIMIT, 1),
    ({"exit_code": 0, "cpu_us": 1_000_001}, {"memory_kills": 1}, Status.CPU_LIMIT, 0),
    ({"exit_code": 0}, {"memory_kills": 1, "process_limit_hits": 1}, Status.OK, 0),
    ({"exit_code": 1}, {"process_limit_hits": 2}, Status.PROCESS_LIMIT, 1),
    (
        {"exit_code": 1, "text": b"BlockingIOError: [Errno 11] Resource temporarily unavailable\n"},
        {},
        Status.PROCESS_LIMIT,
        1,
    ),
    (
        {
            "exit_code": 1,
            "text": b"BlockingIOError: [Errno 11] Resource temporarily unavailable: 'a'",
        },
        {},
        Status.PROCESS_LIMIT,
        1,
    ),
    (
        {"exit_code": 1, "text": b"\nRuntimeError: can't start new thread\n"},
        {},
        Status.PROCESS_LIMIT,
        1,
    ),
]


@pytest.mark.parametrize(("changes", "counters", "status", "exit_code"), CASES)
def test_outcome(
    changes: dict[str, Any], counters: dict[str, Any], status: Status, exit_code: int | None
) -> None:
    result = script_result(reply(**changes), LIMITS, **counters)
    assert (result.status, result.exit_code) == (status, exit_code)
    assert result.stdout == b"out"
    assert result.detail


def test_result_carries_usage_and_what_was_not_collected() -> None:
    result = script_result(reply(), LIMITS, backend="nsjail", interpreter="3.12.1")
    assert (result.usage.wall_ms, result.usage.cpu_ms) == (2.0, 1.0)
    assert result.usage.peak_memory_kib == 9000
    assert (result.backend, result.interpreter) == ("nsjail", "3.12.1")
    assert result.detail == "exit code 0; not collected: b/c (No such file or directory)"


def test_jail_without_a_reply_is_out_of_memory_or_a_fault_of_the_platform() -> None:
    assert no_reply(LIMITS).status is Status.INFRA
    assert no_reply(LIMITS, memory_kills=1).status is Status.MEMORY_LIMIT


def test_a_file_may_have_the_usual_name_of_the_script() -> None:
    files = {"script.py": b"a", "script_.py/x": b"b"}
    request = encode_request(Script(source="print(1)", files=files), LIMITS)
    (size,) = struct.unpack_from("<I", request)
    header = json.loads(request[4 : 4 + size])
    assert header["script"] == "script__.py"
    assert [path for path, _ in header["files"]] == ["script__.py", "script.py", "script_.py/x"]
