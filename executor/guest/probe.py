"""A look at a server's sandbox from inside: facts for people, not a proof."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def look() -> dict[str, Any]:
    """The facts."""
    from executor.guest.packed import filter_works  # noqa: PLC0415

    return {
        "root": os.getuid() == 0,
        "network": bool(_interfaces() - {"lo"}),
        "processes": _processes(),
        "writes": [path for path in ("/", "/etc", "/usr") if os.access(path, os.W_OK)],
        "filter": _tried(filter_works),
    }


def _interfaces() -> set[str]:
    try:
        with open("/proc/net/dev") as file:
            return {line.split(":")[0].strip() for line in file if ":" in line}
    except OSError:
        return set()


def _processes() -> int:
    """Processes that can be seen."""
    try:
        return sum(name.isdecimal() for name in os.listdir("/proc"))
    except OSError:
        return 0


def _tried(check: Any) -> bool:
    try:
        return bool(check())
    except Exception:
        return False
