"""What a program gave for the inputs of a task, and a memory of that."""

from __future__ import annotations

from typing import NamedTuple

from executor.lru import Lru
from executor.models import Signal
from executor.pool.engine import CallOutcome, Used
from executor.verification.values import Value

_CACHE_BYTES = 32 << 20


class Computed(NamedTuple):
    """The program's result for each input, before it is compared with the expected one."""

    results: tuple[Value | str | CallOutcome, ...]
    """Per input: the value, the exception's name (error tasks), or what went wrong."""
    used: Used
    runs: int = 0
    """Fresh processes that each input was run in."""
    signals: tuple[frozenset[Signal], ...] = ()
    """Signs of cheating, per input, over all runs."""

    @property
    def sound(self) -> bool:
        """Whether every input has a proven-deterministic result."""
        return not any(isinstance(result, CallOutcome) for result in self.results)


class ResultCache:
    """Proven-deterministic results by content key: newest kept, bounded in bytes. Never holds a
    failure of the platform or an outcome that differed between runs."""

    def __init__(self, max_bytes: int = _CACHE_BYTES) -> None:
        self._entries: Lru[str, Computed] = Lru(max_bytes)
        self.hits = 0
        self.misses = 0

    def get(self, key: str) -> Computed | None:
        """The result, if it is known."""
        known = self._entries.get(key)
        if known is None:
            self.misses += 1
        else:
            self.hits += 1
        return known

    def put(self, key: str, computed: Computed) -> None:
        """Remember a result if it is sound."""
        if not computed.sound or key in self._entries:
            return
        size = 512 + sum(
            result.memory if isinstance(result, Value) else 200 for result in computed.results
        )
        self._entries.put(key, computed, size)
