"""Source, sink and reorder buffer: what is read and written, and in which order."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.cli.failure import CommandError, OutputClosed
from executor.cli.io.reorder import Reorder
from executor.cli.io.sink import Sink, check_output, open_sink
from executor.cli.io.source import Line, LineSplitter, Source, open_source


def split(chunks: list[bytes], max_bytes: int = 100) -> list[Line]:
    splitter = LineSplitter(max_bytes)
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.close()


@given(st.lists(st.binary(max_size=8) | st.just(b"\n"), max_size=20))
def test_lines_do_not_depend_on_the_chunks_they_come_in(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    lines = split(chunks, max_bytes=10)
    assert lines == split([whole], max_bytes=10)
    assert sum(line.size for line in lines) == len(whole)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    texts = whole.split(b"\n")
    expected = texts if texts[-1] else texts[:-1]
    raws = [text if len(text) <= 10 else None for text in expected]
    if raws and raws[0] is not None:
        raws[0] = raws[0].removeprefix(b"\xef\xbb\xbf")
    assert [line.raw for line in lines] == raws


def test_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert [line.raw for line in split([b"\xef\xbb\xbf{}\n\xef\xbb\xbf"])] == [
        b"{}",
        b"\xef\xbb\xbf",
    ]


def test_overlong_line_is_not_held_in_memory() -> None:
    splitter = LineSplitter(max_bytes=1000)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == []
    (line,) = splitter.feed(b"\n")
    assert (line.raw, line.size) == (None, 1_000_001)


async def read_lines(source: Source) -> list[bytes | None]:
    return [line.raw async for line in source.lines()]


async def test_pipe_is_read_without_blocking_the_loop() -> None:
    reader, writer = os.pipe()
    try:
        reading = asyncio.create_task(read_lines(Source(reader, "pipe")))
        await asyncio.sleep(0.02)
        assert not reading.done()
        os.write(writer, b"a\nb")
        await asyncio.sleep(0.02)
        assert not reading.done()
    finally:
        os.close(writer)
    assert await asyncio.wait_for(reading, 5) == [b"a", b"b"]
    os.close(reader)


async def test_full_pipe_does_not_block_the_loop_and_a_cancelled_write_goes_on() -> None:
    reader, writer = os.pipe()
    sink = Sink(writer, "pipe")
    data = bytes(range(256)) * 4096
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sink.write(data), 0.05)
    rest = asyncio.create_task(sink.write(b"end"))
    received = bytearray()
    while not received.endswith(b"end"):
        received += await asyncio.to_thread(os.read, reader, 1 << 16)
    await rest
    assert received == data + b"end"
    os.close(reader)
    os.close(writer)


async def test_writing_to_a_reader_that_left_says_so_each_time() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = Sink(writer, "pipe")
    for _ in range(2):
        with pytest.raises(OutputClosed):
            await sink.write(b"x")
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_full_disk_is_one_clear_sentence() -> None:
    with (
        open_sink("/dev/full") as sink,
        pytest.raises(CommandError, match="cannot write /dev/full: No space left on device"),
    ):
        await sink.write(b"x")


async def test_file_has_each_line_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with open_sink(str(tmp_path / "out")) as sink:
        await sink.write(b"one\n")
        assert (tmp_path / "out").read_bytes() == b"one\n"


def test_output_that_is_the_input_is_refused_under_any_name(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text("keep me")
    (tmp_path / "symbolic").symlink_to(file)
    (tmp_path / "hard").hardlink_to(file)
    with open_source(str(file)) as source:
        for name in ("rows", "symbolic", "hard"):
            with pytest.raises(CommandError, match="it is the input file"):
                check_output(str(tmp_path / name), source)
    assert file.read_text() == "keep me"


def test_output_check_does_not_create_the_file(tmp_path: Path) -> None:
    (tmp_path / "rows").touch()
    with open_source(str(tmp_path / "rows")) as source:
        check_output(str(tmp_path / "new"), source)
    assert not (tmp_path / "new").exists()


@given(st.permutations(range(12)))
def test_lines_leave_in_row_order_whatever_order_they_come_in(order: list[int]) -> None:
    reorder = Reorder()
    out = b""
    for index in order:
        reorder.put(index, b"%d;" % index)
        out += reorder.take_ready()
    assert out == b"".join(b"%d;" % index for index in range(12))
    assert reorder.take_all() == b""


@given(st.sets(st.integers(0, 20)))
def test_what_is_left_leaves_in_row_order_over_gaps(indexes: set[int]) -> None:
    reorder = Reorder()
    for index in indexes:
        reorder.put(index, b"%d;" % index)
    out = reorder.take_ready() + reorder.take_all()
    assert out == b"".join(b"%d;" % index for index in sorted(indexes))


def test_reading_waits_when_too_many_rows_wait_for_one() -> None:
    reorder = Reorder(max_rows_ahead=3)
    reorder.put(1, b"1")
    assert not reorder.full(2)
    assert reorder.full(3)
    reorder.put(0, b"0")
    assert reorder.take_ready() == b"01"
    assert not reorder.full(3)


def test_reading_waits_when_waiting_lines_are_too_large() -> None:
    reorder = Reorder(max_bytes_held=10)
    reorder.put(1, b"x" * 10)
    assert reorder.full(2)
    reorder.put(0, b"")
    reorder.take_ready()
    assert not reorder.full(2)
