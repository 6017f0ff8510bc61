"""Files that are replaced as a whole: after a crash they hold the old content or the new."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path to write to, beside ``path``; what it holds takes the place of ``path`` at the end.

    Raises:
        OSError: nothing was replaced, and nothing is left beside it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary, os.O_RDWR)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace a file by bytes, or by text in UTF-8; halves of characters become ``?``.

    Raises:
        OSError: nothing was replaced.
    """
    with replaced(path) as temporary:
        temporary.write_bytes(data.encode(errors="replace") if isinstance(data, str) else data)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
