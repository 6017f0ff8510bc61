"""Commands that do not outlive the process that starts them, even if that is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PROGRAM = Path(__file__).with_name("bound.py")


def bound(command: Sequence[str]) -> list[str]:
    """The command, such that the kernel sends it SIGTERM when the caller's thread ends.

    On Linux; elsewhere the command as it is. Start it as a direct child of this process.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", str(_PROGRAM), str(os.getpid()), *command]
