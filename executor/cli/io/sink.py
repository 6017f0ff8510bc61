"""The destination of result lines: a file, or standard output."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from executor.cli.failure import CommandError, OutputClosed
from executor.cli.io.source import Source
from executor.fds import writable

_PIPE_BYTES = 4096
"""A pipe that polls as writable takes this much without blocking (PIPE_BUF on Linux)."""


class Sink:
    """Writes through at once, so that what was written survives whatever happens next.

    A write that is cancelled loses nothing: the next one goes on where it stopped.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._rest = bytearray()
        self._failure: Exception | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether people watch the lines as they come."""
        return os.isatty(self._fd)

    async def write(self, data: bytes) -> None:
        """Write all of ``data``; one caller at a time. After a failure every call fails alike.

        Raises:
            OutputClosed: the reader has gone away.
            CommandError: the file cannot be written (disk full...).
        """
        if self._failure is not None:
            raise self._failure
        self._rest += data
        while self._rest:
            if not self._regular:
                await writable(self._fd)
            del self._rest[: self._write_some()]

    def _write_some(self) -> int:
        size = len(self._rest) if self._regular else _PIPE_BYTES
        try:
            return os.write(self._fd, bytes(self._rest[:size]))
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            self._failure = OutputClosed()
        except OSError as error:
            self._failure = CommandError(f"cannot write {self._name}: {error.strerror}")
        raise self._failure


def check_output(path: str | None, source: Source) -> None:
    """Check that ``path`` can be written, without touching it; ``None`` or ``-``: standard output.

    Raises:
        CommandError: it cannot be written, or it is the input file.
    """
    name = "standard output" if path is None or path == "-" else path
    if path is None or path == "-":
        target = os.fstat(_standard_output())
    else:
        _check_place(path)
        try:
            target = os.stat(path)
        except (FileNotFoundError, ValueError):
            return
    if stat.S_ISREG(target.st_mode) and os.path.samestat(target, os.fstat(source.fd)):
        raise CommandError(f"cannot write {name}: it is the input file")


def _check_place(path: str) -> None:
    if "\0" in path or not path:
        raise CommandError(f"cannot write {path!r}: not a file name")
    place = Path(path)
    if place.is_dir():
        raise CommandError(f"cannot write {path}: it is a directory")
    if not place.parent.is_dir():
        raise CommandError(f"cannot write {path}: there is no folder {place.parent}")
    if not os.access(place if place.exists() else place.parent, os.W_OK):
        raise CommandError(f"cannot write {path}: Permission denied")


@contextmanager
def open_sink(path: str | None) -> Iterator[Sink]:
    """Open ``path`` for writing, emptying it; ``None`` or ``-``: standard output.

    Raises:
        CommandError: it cannot be opened.
    """
    if path is None or path == "-":
        yield Sink(_standard_output(), "standard output")
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None
    try:
        yield Sink(fd, path)
    finally:
        os.close(fd)


def _standard_output() -> int:
    try:
        return sys.__stdout__.fileno()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):
        raise CommandError("cannot write standard output: it is closed") from None
