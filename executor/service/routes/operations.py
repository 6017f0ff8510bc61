"""Routes for those who run the service."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from executor.backends.base import ProcessReuse
from executor.models import Limits, Model, Signals
from executor.service.http.endpoints import JSON, get, to_json
from executor.service.http.state import service_of
from executor.service.models import WaivedProbe
from executor.service.work.metrics import CONTENT_TYPE
from executor.version import version

router = APIRouter(tags=["operations"])


class Health(Model):
    """Whether the service is alive."""

    status: str


class Ready(Model):
    """Whether the service takes work."""

    status: str
    """``ok``, or why not."""
    waived: tuple[WaivedProbe, ...] = Field((), exclude_if=lambda waived: not waived)
    """Probes that may fail; left out where there is none."""


class WorkerCount(Model):
    """Warm guests of one kind in one state."""

    kind: str
    state: str
    count: int


class Stats(Model):
    """The executor at this moment."""

    waiting: int
    """Requests that no guest has taken yet."""
    oldest_wait_s: float
    in_flight: int
    workers: tuple[WorkerCount, ...]
    restarts: int
    cache_hits: int
    cache_misses: int
    scripts_running: int
    scripts_waiting: int
    script_jails: dict[str, int]
    """Jails that are kept for one script after another, by state; empty if the backend has none."""
    queue_depth: dict[str, int]
    """Items that wait for their admission, by lane."""
    items_running: dict[str, int]
    batches: int
    signals: Signals
    """Signs of cheating in all results so far."""


class Info(Model):
    """Facts about the service."""

    backend: str
    interpreter: str
    isolated: bool
    workers: int
    warnings: tuple[str, ...]
    process_reuse: ProcessReuse
    """Whether the process of a run is put back after it, or is a new one each time."""
    limits: Limits
    """Limits of each run, and the most that a call may ask for."""
    version: str
    waived: tuple[WaivedProbe, ...]
    """Probes that may fail, and what they came to."""
    stats: Stats


async def healthz(request: Request) -> Response:
    """Alive: the event loop answers."""
    return Response(b'{"status":"ok"}', media_type=JSON)


async def readyz(request: Request) -> Response:
    """Ready for work."""
    service = service_of(request.scope)
    problem = service.readiness.problem
    body = to_json(Ready(status=problem or "ok", waived=service.waivers.probes))
    if problem is None:
        return Response(body, media_type=JSON)
    return Response(body, 503, {"retry-after": "5"}, JSON)


async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(
        service_of(request.scope).metrics.render(), headers={"content-type": CONTENT_TYPE}
    )


async def info(request: Request) -> Response:
    """Facts and counts of the service."""
    service = service_of(request.scope)
    executor, lanes = service.executor, service.admission.lanes
    stats = executor.stats()
    return Response(
        to_json(
            Info(
                **executor.info._asdict(),
                limits=executor.limits,
                version=version(),
                waived=service.waivers.probes,
                stats=Stats(
                    waiting=stats.pool.waiting,
                    oldest_wait_s=round(stats.pool.oldest_wait_s, 3),
                    in_flight=stats.pool.in_flight,
                    workers=tuple(
                        WorkerCount(kind=kind, state=state, count=count)
                        for (kind, state), count in sorted(stats.pool.workers.items())
                    ),
                    restarts=stats.pool.restarts,
                    cache_hits=stats.cache_hits,
                    cache_misses=stats.cache_misses,
                    scripts_running=stats.scripts_running,
                    scripts_waiting=stats.scripts_waiting,
                    script_jails=stats.pool.script_jails,
                    queue_depth={name: lane.waiting for name, lane in lanes.items()},
                    items_running={name: lane.running for name, lane in lanes.items()},
                    batches=service.admission.batches,
                    signals=dict(stats.signals),
                ),
            )
        ),
        media_type=JSON,
    )


get(router, "/healthz", healthz, summary="Alive?", responses={200: {"model": Health}})
get(
    router,
    "/readyz",
    readyz,
    summary="Ready for work?",
    responses={200: {"model": Ready}, 503: {"model": Ready}},
)
get(
    router,
    "/metrics",
    metrics,
    summary="Metrics for Prometheus",
    responses={200: {"content": {"text/plain": {}}}},
)
get(router, "/v1/info", info, summary="What this service is", responses={200: {"model": Info}})
