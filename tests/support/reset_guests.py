"""A warm guest that resets its process, each reset of which is checked byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.one_guest import OneGuest
from executor.errors import BackendUnavailable

MODULES = (
    "atexit", "codecs", "contextvars", "decimal", "gc", "linecache", "locale", "mmap", "random",
    "resource", "select", "signal", "socket", "threading", "warnings", "weakref",
)  # fmt: skip
"""What programs of the tests import, besides what a guest has in memory anyway."""


FAULTY = "a run: "
"""What is said if a slot was made and could not be put back: no lack of the kernel."""


def audited_guest() -> OneGuest:
    """The guest; it ends if a reset leaves anything different."""
    return reset_guest("audit=1", preload=MODULES)


def reset_guest(*options: str, preload: Sequence[str] = ()) -> OneGuest:
    """A guest with these options. Skips the test where the kernel has not what it takes."""
    try:
        return OneGuest("reset", options, preload=preload)
    except BackendUnavailable as error:
        if FAULTY in str(error):
            raise
        pytest.skip(str(error))
