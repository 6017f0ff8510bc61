"""What an executor is and does, as JSON between processes, and of several together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from executor import errors
from executor.api.base import ExecutorInfo
from executor.api.local import ExecutorStats
from executor.errors import ExecutorError
from executor.models import Limits, Signal
from executor.pool.pool import PoolStats
from executor.store.store import StoreStats


def info_bytes(info: ExecutorInfo, limits: Limits) -> bytes:
    """What an executor is."""
    return json.dumps([info._asdict(), limits.model_dump(mode="json")]).encode()


def read_info(data: bytes) -> tuple[ExecutorInfo, Limits]:
    """The same, read."""
    told, limits = json.loads(data)
    told["warnings"] = tuple(told["warnings"])
    return ExecutorInfo(**told), Limits.model_validate(limits)


def stats_bytes(stats: ExecutorStats) -> bytes:
    """What it does now."""
    told: dict[str, Any] = stats._asdict()
    told["pool"] = stats.pool._asdict()
    told["pool"]["workers"] = [[*key, count] for key, count in stats.pool.workers.items()]
    told["pool"]["script_jails"] = dict(stats.pool.script_jails)
    told["signals"] = dict(stats.signals)
    return json.dumps(told).encode()


def read_stats(data: bytes) -> ExecutorStats:
    """The same, read."""
    told = json.loads(data)
    pool = told["pool"]
    pool["workers"] = {(kind, state): count for kind, state, count in pool["workers"]}
    told["pool"] = PoolStats(**pool)
    told["signals"] = {Signal(name): count for name, count in told["signals"].items()}
    told["store"] = StoreStats(*told["store"]) if told["store"] is not None else None
    told["libraries"] = tuple(told["libraries"])
    return ExecutorStats(**told)


def error_bytes(error: ExecutorError) -> bytes:
    """An exception of an executor."""
    return json.dumps([type(error).__name__, str(error)]).encode()


def read_error(data: bytes) -> ExecutorError:
    """The same, to be raised."""
    name, text = json.loads(data)
    kind = getattr(errors, name, ExecutorError)
    if not issubclass(kind, ExecutorError) or kind is errors.MalformedRow:
        kind = ExecutorError
    return kind(text)


def together(all_stats: Iterable[ExecutorStats]) -> ExecutorStats:
    """What several do, as one."""
    known = list(all_stats)
    stores = [stats.store for stats in known if stats.store is not None]
    return ExecutorStats(
        pool=_pools_together([stats.pool for stats in known]),
        cache_hits=sum(stats.cache_hits for stats in known),
        cache_misses=sum(stats.cache_misses for stats in known),
        scripts_running=sum(stats.scripts_running for stats in known),
        scripts_waiting=sum(stats.scripts_waiting for stats in known),
        signals=_added(stats.signals for stats in known),
        store=StoreStats(*map(sum, zip(*stores, strict=True))) if stores else None,
        libraries=tuple(sorted({name for stats in known for name in stats.libraries})),
        processes=sum(stats.processes for stats in known),
        process_restarts=sum(stats.process_restarts for stats in known),
    )


def _pools_together(pools: Sequence[PoolStats]) -> PoolStats:
    return PoolStats(
        waiting=sum(pool.waiting for pool in pools),
        oldest_wait_s=max((pool.oldest_wait_s for pool in pools), default=0.0),
        in_flight=sum(pool.in_flight for pool in pools),
        workers=_added(pool.workers for pool in pools),
        restarts=sum(pool.restarts for pool in pools),
        script_jails=_added(pool.script_jails for pool in pools),
    )


def _added[K](counts: Iterable[Mapping[K, int]]) -> dict[K, int]:
    return dict(sum((Counter(dict(each)) for each in counts), Counter()))


def left_behind(stats: ExecutorStats) -> ExecutorStats:
    """What is left of an executor that is gone: what it has counted."""
    pool = PoolStats(0, 0.0, 0, {}, stats.pool.restarts, {})
    return stats._replace(
        pool=pool, scripts_running=0, scripts_waiting=0, libraries=(), processes=0
    )
