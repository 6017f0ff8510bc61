"""The zygote's core: the compiled one where it could be built, else the one in pure Python."""

from __future__ import annotations

try:
    from executor.guest import _core as core
except ImportError:
    from executor.guest import spawn as core  # type: ignore[no-redef]

__all__ = ["core"]
