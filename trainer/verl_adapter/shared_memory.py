"""Shared memory that vLLM and veRL leave behind.

vLLM's processes talk through ``/dev/shm/psm_*`` (on processors also ``*-cpushm_*``), and where CUDA
cannot share them, weights go to it through ``/dev/shm/verl_weights_*``. When the processes are
killed the segments stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_FOLDER = Path("/dev/shm")
_PATTERNS = ("psm_*", "*-cpushm_*", "verl_weights_*")


def segments() -> frozenset[Path]:
    """The segments of such names that are there now, whosever they are."""
    return frozenset(path for pattern in _PATTERNS for path in _FOLDER.glob(pattern))


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
