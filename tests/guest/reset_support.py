"""A warm guest that resets its process, each reset of which is checked byte for byte."""

from __future__ import annotations

from benchmarks.one_guest import OneGuest

MODULES = (
    "atexit", "codecs", "contextvars", "decimal", "gc", "linecache", "locale", "mmap", "random",
    "resource", "select", "signal", "socket", "threading", "warnings", "weakref",
)  # fmt: skip
"""What programs of the tests import, besides what a guest has in memory anyway."""


def audited_guest() -> OneGuest:
    """The guest; it ends if a reset leaves anything different."""
    return OneGuest("reset", ["audit=1"], preload=MODULES)
