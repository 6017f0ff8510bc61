"""Results as a store keeps them, and back. What comes from a store is read as strictly as from a
guest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from executor.grammar.decode import DecodeError
from executor.models import Signal, Triplet
from executor.pool.engine import CallOutcome, Used
from executor.store.seal import Sealed
from executor.store.store import Section
from executor.verification.computed import Computed
from executor.verification.context import Context
from executor.verification.values import Value

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_SIGNALS = {signal.value: signal for signal in Signal}


class StoredResults:
    """The part of a store that fits one context and number of runs."""

    def __init__(self, section: Section) -> None:
        self._section = section

    async def get(self, key: str) -> Computed | None:
        """The result of a key, if it is known and can be believed."""
        sealed = await self._section.get(key)
        if sealed is None:
            return None
        try:
            return read_computed(sealed)
        except (ValueError, TypeError, KeyError, IndexError, DecodeError):
            self._section.disbelieve()
            return None

    def put(self, key: str, triplet: Triplet, computed: Computed) -> None:
        """Keep a result if it is sound."""
        if not computed.sound:
            return
        try:
            task = triplet.model_dump_json(
                include={"program", "imports", "inputs", "expects"}
            ).encode()
        except ValueError:  # lone surrogates
            return
        head, values = _written(computed)
        self._section.put(key, task, head, values)


def situation(context: Context, runs: int) -> dict[str, Any]:
    """What a result depends on that an executor can be asked to have otherwise."""
    return {
        "limits": context.limits.model_dump(mode="json"),
        "rules": context.rules.model_dump(mode="json"),
        "runs": runs,
    }


def _written(computed: Computed) -> tuple[bytes, bytes]:
    values = [result.data for result in computed.results if isinstance(result, Value)]
    results = [
        len(result.data) if isinstance(result, Value) else result for result in computed.results
    ]
    signals = [sorted(some) for some in computed.signals] if any(computed.signals) else []
    return _encode([results, computed.used, computed.runs, signals]).encode(), b"".join(values)


def read_computed(sealed: Sealed) -> Computed:
    """The result of an entry. Raises what strict reading raises: it is none."""
    results, used, runs, signals = json.loads(sealed.head)
    wall_us, cpu_us, peak_kib = map(int, used)
    return Computed(
        tuple(_results(results, sealed.values)),
        Used(wall_us, cpu_us, peak_kib),
        int(runs),
        tuple(frozenset(_SIGNALS[name] for name in some) for some in signals)
        or (frozenset(),) * len(results),
    )


def _results(told: Sequence[object], values: bytes) -> list[Value | str | CallOutcome]:
    found: list[Value | str | CallOutcome] = []
    start = 0
    for one in told:
        if isinstance(one, str):
            found.append(one)
            continue
        if type(one) is not int or one < 0 or start + one > len(values):
            raise ValueError("not a length")
        found.append(Value(values[start : start + one]))
        start += one
    if start != len(values):
        raise ValueError("more bytes than values")
    return found
