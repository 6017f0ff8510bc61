"""A bounded memory: what was used last stays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class Lru[Key: Hashable, Value]:
    """Entries with weights, up to a sum of weights; the ones not used for longest are dropped."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._weight = 0
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def peek(self, key: Key) -> Value | None:
        """The value, if it is known."""
        entry = self._entries.get(key)
        return entry[0] if entry is not None else None

    def get(self, key: Key) -> Value | None:
        """The value, if it is known; then it counts as used."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self.peek(key)

    def put(self, key: Key, value: Value, weight: int = 1) -> None:
        """Remember a value, in the place of another one of that key."""
        self.drop(key)
        if weight > self._capacity:
            return
        self._entries[key] = (value, weight)
        self._weight += weight
        while self._weight > self._capacity:
            self.drop(next(iter(self._entries)))

    def drop(self, key: Key) -> None:
        """Forget a key, if it is known."""
        _, weight = self._entries.pop(key, (None, 0))
        self._weight -= weight
