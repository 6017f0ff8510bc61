"""Results come as they finish; the file wants them in row order."""

from __future__ import annotations

MAX_ROWS_AHEAD = 4096
"""Rows that may be read beyond the first unfinished one."""
MAX_BYTES_HELD = 32 << 20
"""Bytes of finished lines that may wait for an earlier one."""


class Reorder:
    """Finished lines by row index, until their turn comes."""

    def __init__(
        self, max_rows_ahead: int = MAX_ROWS_AHEAD, max_bytes_held: int = MAX_BYTES_HELD
    ) -> None:
        self._max_rows_ahead = max_rows_ahead
        self._max_bytes_held = max_bytes_held
        self._lines: dict[int, bytes] = {}
        self._next = 0
        self._held = 0

    def put(self, index: int, line: bytes) -> None:
        """Keep the line of row ``index``; each index comes once."""
        self._lines[index] = line
        self._held += len(line)

    def take_ready(self) -> bytes:
        """The lines whose turn has come."""
        ready = []
        while (line := self._lines.pop(self._next, None)) is not None:
            ready.append(line)
            self._next += 1
        return self._taken(b"".join(ready))

    def take_all(self) -> bytes:
        """Every line that is left, in row order, over the gaps of unfinished rows."""
        rest = b"".join(self._lines[index] for index in sorted(self._lines))
        self._next = max(self._lines, default=self._next - 1) + 1
        self._lines.clear()
        return self._taken(rest)

    def full(self, next_index: int) -> bool:
        """Whether reading row ``next_index`` has to wait for an earlier row to finish."""
        return next_index - self._next >= self._max_rows_ahead or self._held >= self._max_bytes_held

    def _taken(self, data: bytes) -> bytes:
        self._held -= len(data)
        return data
