"""The recursion depth of programs, where no compiled core can set it in the interpreter."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing is not for guests
if TYPE_CHECKING:
    from types import FrameType

_frame = sys._getframe  # bound now, before programs are there
_limit = sys.getrecursionlimit
_set_limit = sys.setrecursionlimit


class Depth:
    """Keeps the harness's frames from counting. The limit that programs can read shows it."""

    def __init__(self) -> None:
        self._added = 0

    def count_frames(self, count: int) -> None:
        """Let so many frames be below what the caller calls, as below what a script calls."""
        frame: FrameType | None = _frame(1)
        added = -count
        while frame is not None:
            frame = frame.f_back
            added += 1
        _set_limit(_limit() - self._added + added)
        self._added = added
