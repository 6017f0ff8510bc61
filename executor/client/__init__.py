"""Executors that run elsewhere, behind the HTTP service of ``python -m executor serve``.

    async with RemoteExecutor(["http://a:8080", "http://b:8080"]) as executor:
        verdict = await executor.validate(Triplet(program=..., inputs=("1, 2",)))

:class:`RemoteExecutor` has the methods of :class:`executor.Executor`, and
:class:`SyncRemoteExecutor` those of :class:`executor.SyncExecutor`. Needs the extra ``client``.
"""

from executor.client.remote import EndpointStats, RemoteExecutor, RemoteStats, SyncRemoteExecutor
from executor.client.settings import Retries, Timeouts

__all__ = [
    "EndpointStats",
    "RemoteExecutor",
    "RemoteStats",
    "Retries",
    "SyncRemoteExecutor",
    "Timeouts",
]
