"""The lines of an input file, read as they are needed."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from executor.cli.failure import CommandError
from executor.fds import readable

MAX_LINE_BYTES = 16 << 20
"""A longer line is dropped as it is read, and reported as malformed."""

_CHUNK_BYTES = 1 << 16
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, without its line feed."""

    number: int
    """From 1, as editors count."""
    raw: bytes | None
    """``None`` if the line was longer than :data:`MAX_LINE_BYTES`."""
    size: int
    """Bytes in the file, the line feed included."""

    @property
    def blank(self) -> bool:
        """Whether there is nothing but white space."""
        return self.raw is not None and not self.raw.strip()


class LineSplitter:
    """Cuts a stream of bytes into lines; holds at most one line."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._number = 0
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that ``chunk`` completes."""
        *complete, rest = chunk.split(b"\n")
        lines = []
        for part in complete:
            self._hold(part)
            lines.append(self._take(line_feed=1))
        self._hold(rest)
        return lines

    def close(self) -> list[Line]:
        """The last line, if the stream does not end with a line feed."""
        return [self._take(line_feed=0)] if self._held else []

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > self._max_bytes:
            self._parts.clear()
        else:
            self._parts.append(part)

    def _take(self, *, line_feed: int) -> Line:
        raw = b"".join(self._parts) if self._held <= self._max_bytes else None
        self._number += 1
        if self._number == 1 and raw is not None:
            raw = raw.removeprefix(_BOM)
        line = Line(self._number, raw, self._held + line_feed)
        self._parts.clear()
        self._held = 0
        return line


class Source:
    """An open input: a file, or standard input."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        """For messages."""
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise CommandError(f"cannot read {name}: it is a directory")
        self._regular = stat.S_ISREG(status.st_mode)
        self.size = status.st_size if self._regular else None
        """Bytes in all, or ``None`` if that cannot be known (a pipe)."""

    async def lines(self) -> AsyncIterator[Line]:
        """Every line, blank ones included.

        Raises:
            CommandError: the input cannot be read any further.
        """
        splitter = LineSplitter()
        while chunk := await self._read():
            for line in splitter.feed(chunk):
                yield line
        for line in splitter.close():
            yield line

    async def read_all(self) -> bytes:
        """The whole input at once.

        Raises:
            CommandError: the input cannot be read.
        """
        chunks = []
        while chunk := await self._read():
            chunks.append(chunk)
        return b"".join(chunks)

    async def _read(self) -> bytes:
        while True:
            if not self._regular:
                await readable(self.fd)
            try:
                return os.read(self.fd, _CHUNK_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise _unreadable(self.name, error) from None


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """Open ``path`` for reading; ``-`` is standard input.

    Raises:
        CommandError: there is no such file, or it cannot be read.
    """
    if path == "-":
        yield Source(_standard_input(), "standard input")
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        yield Source(fd, path)
    finally:
        os.close(fd)


def _standard_input() -> int:
    try:
        return sys.__stdin__.fileno()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):
        raise CommandError("cannot read standard input: it is closed") from None


def _unreadable(name: str, error: OSError | ValueError) -> CommandError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return CommandError(f"cannot read {name}: {reason}")
