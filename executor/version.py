"""The version of the installed distribution."""

from __future__ import annotations

from functools import cache
from importlib import metadata

DISTRIBUTION = "absolute-zero-executor"


@cache
def version() -> str:
    """As ``pyproject.toml`` has it; ``unknown`` where nothing is installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
