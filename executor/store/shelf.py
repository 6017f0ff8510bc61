"""What keeps entries: bytes by key, without a thought about what they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol


class Shelf(Protocol):
    """Bytes by key, shared with others. Used on one event loop."""

    errors: int
    """Questions and writes that came to nothing: then a result is computed, or not kept."""

    async def open(self) -> None:
        """Get ready. Raises :class:`executor.errors.ConfigurationError`: it cannot be used."""

    async def get(self, key: bytes) -> bytes | None:
        """What is kept under a key; ``None`` if nothing is, or if it cannot be had now."""

    def put(self, key: bytes, entry: bytes) -> None:
        """Keep an entry, in the place of another one. Does not wait, and may fail silently."""

    async def flush(self) -> None:
        """Wait until everything that was put so far is written, or given up."""

    def entries(self) -> AsyncGenerator[tuple[bytes, bytes], None]:
        """All entries with their keys, in no order that means anything."""

    async def close(self) -> None:
        """Write what is left, and let go. Safe to call twice."""
