"""Limits of a request within those of the server.

Clients ask for what suits the original's defaults (veRL: 1024 MiB) whatever the server has, so more
than the server's limit means the server's limit. Who hits it reads so in the message.
"""

from __future__ import annotations

from executor.models import Limits


def clamped(server: Limits, *, wall_s: float, memory_mib: int, cpu_s: int | None = None) -> Limits:
    """The server's limits, with less time and memory if less is asked for.

    ``memory_mib`` of 0 or less and ``cpu_s`` of ``None`` ask for nothing. The smallest limit is
    16 MiB.
    """
    update: dict[str, float | int] = {"wall_s": min(wall_s, server.wall_s)}
    if memory_mib > 0:
        update["memory_mib"] = min(max(memory_mib, 16), server.memory_mib)
    if cpu_s is not None:
        update["cpu_s"] = min(cpu_s, server.cpu_s)
    return server.model_copy(update=update)
