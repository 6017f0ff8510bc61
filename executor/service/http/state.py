"""State that all routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from executor.api.protocol import ObservedExecutor
from executor.service.http.reading import BodyBudget
from executor.service.settings import ServiceSettings
from executor.service.work.admission import Admission
from executor.service.work.gateway import Gateway
from executor.service.work.metrics import Metrics
from executor.service.work.readiness import Readiness
from executor.service.work.waivers import Waivers

_VERIFY_PLACES_PER_WORKER = 32
"""A quarter for single calls; the rest is what an executor keeps in hand for a batch."""
_BATCH_WINDOW_PER_WORKER = 24
_RUN_PLACES_PER_WORKER = 4


@dataclass(frozen=True)
class Service:
    """One server's parts."""

    settings: ServiceSettings
    executor: ObservedExecutor
    admission: Admission
    metrics: Metrics
    gateway: Gateway
    readiness: Readiness
    waivers: Waivers
    bodies: BodyBudget
    batch_window: int
    """Lines of one batch in hand."""


def make_service(settings: ServiceSettings, executor: ObservedExecutor) -> Service:
    """Put the parts together; nothing runs yet."""
    workers = executor.info.workers
    admission = Admission(
        verify_places=_VERIFY_PLACES_PER_WORKER * workers,
        run_places=_RUN_PLACES_PER_WORKER * workers,
        queue=settings.queue,
        batches=settings.batches,
        tenants=settings.tenants,
    )
    waivers = Waivers(settings.waive)
    metrics = Metrics(executor, admission, waivers)
    return Service(
        settings=settings,
        executor=executor,
        admission=admission,
        metrics=metrics,
        gateway=Gateway(executor, admission, metrics, waivers),
        readiness=Readiness(executor, admission, waivers),
        waivers=waivers,
        bodies=BodyBudget(settings.max_bodies_mib << 20),
        batch_window=_BATCH_WINDOW_PER_WORKER * workers,
    )


def service_of(scope: Scope) -> Service:
    """The service that a request is made to."""
    app: Any = scope["app"]
    service: Service = app.state.service
    return service
