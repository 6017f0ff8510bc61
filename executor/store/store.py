"""The store of an executor: a shelf, a seal, and counts of what came of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple

from executor.store.redis_shelf import RedisShelf
from executor.store.seal import Seal, Sealed, name_of, situation_bytes
from executor.store.settings import StoreSettings, read_key
from executor.store.shelf import Shelf
from executor.store.sqlite_shelf import SqliteShelf

_LARGEST = 1 << 20
"""Bytes of an entry. Larger results are few, and would be read at the cost of all others."""


class StoreStats(NamedTuple):
    """What a store has been used for, since it was opened."""

    hits: int = 0
    """Results that it had."""
    misses: int = 0
    refused: int = 0
    """Entries that were there but not believed: another key, another situation, other bytes. They
    are misses too."""
    errors: int = 0
    """Questions and writes that failed. They cost time, never a verdict."""


class Store:
    """Results that are shared. Open and close it; all on one event loop.

    Args:
        settings: Where it is.
        facts: What all its entries have in common; see :meth:`section`.

    Raises:
        ConfigurationError: from :meth:`open`: no key, or the place cannot be used.
    """

    def __init__(self, settings: StoreSettings, facts: Mapping[str, Any]) -> None:
        self._settings = settings
        self._facts = dict(facts)
        self._seal: Seal | None = None
        self._shelf: Shelf = (
            RedisShelf(settings.url, settings.shown, settings.patience_s)
            if settings.is_redis
            else SqliteShelf(settings.url, settings.max_mib << 20)
        )
        self._hits = self._misses = self._refused = 0

    async def open(self) -> None:
        """Read the key, and connect."""
        key = read_key(self._settings)
        await self._shelf.open()
        self._seal = Seal(key)

    async def close(self) -> None:
        """Write what is left. Safe to call twice."""
        await self._shelf.close()
        self._seal = None

    async def flush(self) -> None:
        """Wait until all that was kept so far can be found by others."""
        await self._shelf.flush()

    def section(self, facts: Mapping[str, Any]) -> Section:
        """The part of the store for results that were found under some more facts.

        An entry is believed only where all facts are the same.
        """
        return Section(self, situation_bytes({**self._facts, **facts}))

    def stats(self) -> StoreStats:
        """What it has been used for."""
        return StoreStats(self._hits, self._misses, self._refused, self._shelf.errors)

    async def entries(self) -> AsyncGenerator[tuple[bytes, Sealed | None], None]:
        """All entries by name; ``None`` for those that were not made with the key."""
        assert self._seal is not None
        async for name, entry in self._shelf.entries():
            yield name, self._seal.open(name, entry)

    async def _get(self, key: str, situation: bytes) -> Sealed | None:
        if self._seal is None:
            return None
        name = name_of(key, situation)
        entry = await self._shelf.get(name)
        sealed = self._seal.open(name, entry) if entry is not None else None
        if sealed is not None and sealed.situation == situation:
            self._hits += 1
            return sealed
        self._misses += 1
        self._refused += entry is not None
        return None

    def _put(self, key: str, sealed: Sealed) -> None:
        if self._seal is None or sum(map(len, sealed)) > _LARGEST:
            return
        name = name_of(key, sealed.situation)
        self._shelf.put(name, self._seal.close(name, sealed))

    def _disbelieve(self) -> None:
        self._hits -= 1
        self._misses += 1
        self._refused += 1


class Section:
    """Entries of one situation."""

    def __init__(self, store: Store, situation: bytes) -> None:
        self._store = store
        self._situation = situation

    async def get(self, key: str) -> Sealed | None:
        """The entry of a content key, if there is one that fits."""
        return await self._store._get(key, self._situation)

    def put(self, key: str, task: bytes, head: bytes, values: bytes) -> None:
        """Keep a result."""
        self._store._put(key, Sealed(self._situation, task, head, values))

    def disbelieve(self) -> None:
        """Count the last hit as refused: what it says cannot be read."""
        self._store._disbelieve()
