"""Shared memory that veRL leaves behind.

Weights go to vLLM through ``/dev/shm/psm_*``; when its processes are killed the segments stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_FOLDER = Path("/dev/shm")
_PATTERN = "psm_*"


def segments() -> frozenset[Path]:
    """The segments of Python programs that are there now."""
    return frozenset(_FOLDER.glob(_PATTERN))


def remove_new(before: frozenset[Path]) -> tuple[Path, ...]:
    """Remove this user's segments that were not there ``before`` and that nobody has mapped."""
    mapped = frozenset(_mapped())
    removed = []
    for path in sorted(segments() - before):
        with suppress(OSError):
            if path.stat().st_uid == os.getuid() and str(path) not in mapped:
                path.unlink()
                removed.append(path)
    return tuple(removed)


def _mapped() -> Iterator[str]:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            for line in maps.read_text(errors="replace").splitlines():
                _, found, rest = line.partition(f"{_FOLDER}/")
                if found:
                    yield f"{_FOLDER}/{rest.strip()}"
