"""Commands that do not outlive the process that starts them, even if that is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# The wish to be told of the parent's end (PR_SET_PDEATHSIG) outlives exec. A parent that has ended
# before it was made is never told of: hence the second look.
_BOUND = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("ended: the process that started this one is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def bound(command: Sequence[str]) -> list[str]:
    """The command, such that the kernel sends it SIGTERM when the caller's thread ends.

    On Linux; elsewhere the command as it is. Start it as a direct child of this process.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-S", "-c", _BOUND, str(os.getpid()), *command]
