"""Metrics for Prometheus. All names and labels are in this file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from executor.api.protocol import ObservedExecutor
from executor.models import Signals, Status
from executor.service.work.admission import Admission
from executor.service.work.tenants import ANYONE, Tenant
from executor.service.work.waivers import Waivers
from executor.version import version

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_RUN_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class _Route(NamedTuple):
    seconds: Histogram
    codes: dict[int, Counter]


class Metrics:
    """Counters of the service, and a view of the executor's own at the moment of reading."""

    def __init__(self, executor: ObservedExecutor, admission: Admission, waivers: Waivers) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_State(executor, admission, waivers))
        self._runs = Counter(
            "executor_runs",
            "Triplets validated, answers judged and scripts run, by task type and outcome.",
            ["task", "status"],
            registry=self._registry,
        )
        self._run_seconds = Histogram(
            "executor_run_seconds",
            "Time from the admission of an item to its result.",
            ["task"],
            buckets=_RUN_BUCKETS,
            registry=self._registry,
        )
        self._queue_seconds = Histogram(
            "executor_queue_seconds",
            "Time an item waited for its admission.",
            ["task"],
            buckets=_RUN_BUCKETS,
            registry=self._registry,
        )
        self._cpu_seconds = Counter(
            "executor_run_cpu_seconds",
            "Processor time used in sandboxes.",
            ["task"],
            registry=self._registry,
        )
        self._signals = Counter(
            "executor_signals",
            "Signs of cheating, by task type: inputs, answers and scripts that showed each.",
            ["task", "signal"],
            registry=self._registry,
        )
        self._tenant_items = Counter(
            "executor_tenant_items",
            "Items of each tenant.",
            ["tenant"],
            registry=self._registry,
        )
        self._tenant_seconds = Histogram(
            "executor_tenant_seconds",
            "Time from the arrival of an item to its result, by tenant.",
            ["tenant"],
            buckets=_RUN_BUCKETS,
            registry=self._registry,
        )
        self._tenant_cpu = Counter(
            "executor_tenant_cpu_seconds",
            "Processor time used in sandboxes, by tenant.",
            ["tenant"],
            registry=self._registry,
        )
        self._tenant_rejected = Counter(
            "executor_tenant_rejected",
            "Requests of each tenant that were refused because of load or state.",
            ["tenant", "code"],
            registry=self._registry,
        )
        self._rejected = Counter(
            "executor_rejected",
            "Requests that were refused because of load or state, by error code.",
            ["code"],
            registry=self._registry,
        )
        self._requests = Counter(
            "executor_http_requests",
            "HTTP requests by route, method and status code; 499: the client went away.",
            ["route", "method", "code"],
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "executor_http_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ["route"],
            buckets=_RUN_BUCKETS,
            registry=self._registry,
        )

    def item(
        self,
        task: str,
        statuses: Iterable[Status],
        signals: Signals,
        *,
        queued_s: float,
        ran_s: float,
        cpu_s: float,
        tenant: Tenant = ANYONE,
    ) -> None:
        """Count one item: a triplet, the answers of a task, or a script."""
        if tenant.name:
            self._tenant_items.labels(tenant.name).inc()
            self._tenant_seconds.labels(tenant.name).observe(queued_s + ran_s)
            self._tenant_cpu.labels(tenant.name).inc(cpu_s)
        for status in statuses:
            self._runs.labels(task, status.value).inc()
        for signal, count in signals.items():
            self._signals.labels(task, signal.value).inc(count)
        self._run_seconds.labels(task).observe(ran_s)
        self._queue_seconds.labels(task).observe(queued_s)
        self._cpu_seconds.labels(task).inc(cpu_s)

    def rejected(self, code: str, tenant: str = "") -> None:
        """Count a request that was turned away, and whose it was."""
        if tenant:
            self._tenant_rejected.labels(tenant, code).inc()
        self._rejected.labels(code).inc()

    def request(self, route: str, method: str, code: int, seconds: float) -> None:
        """Count an HTTP request; ``route`` is its template."""
        self._requests.labels(route, method if method in _METHODS else "other", str(code)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)


class _State:
    """Collects what the executor and the admission are doing now, and what is waived."""

    def __init__(self, executor: ObservedExecutor, admission: Admission, waivers: Waivers) -> None:
        self._executor = executor
        self._admission = admission
        self._waivers = waivers

    def collect(self) -> Iterator[Metric]:
        """The samples of now."""
        yield from self._queues()
        yield from self._pool()
        yield self._waived()
        yield self._build()

    def describe(self) -> list[Metric]:
        """Nothing: names are known when they are collected."""
        return []

    def _queues(self) -> Iterator[Metric]:
        pool = self._executor.stats().pool
        lanes = self._admission.lanes.values()
        depth = GaugeMetricFamily(
            "executor_queue_depth",
            "Items that wait: for their admission by lane, or inside the pool for a worker.",
            labels=["queue"],
        )
        oldest = GaugeMetricFamily(
            "executor_queue_oldest_seconds",
            "How long the oldest of these has waited.",
            labels=["queue"],
        )
        running = GaugeMetricFamily(
            "executor_items_running", "Items that have been admitted.", labels=["queue"]
        )
        for lane in lanes:
            depth.add_metric([lane.name], lane.waiting)
            oldest.add_metric([lane.name], lane.oldest_wait_s())
            running.add_metric([lane.name], lane.running)
        depth.add_metric(["pool"], pool.waiting)
        oldest.add_metric(["pool"], pool.oldest_wait_s)
        yield from (depth, oldest, running)
        yield GaugeMetricFamily(
            "executor_batches", "Batches in hand.", value=self._admission.batches
        )

    def _pool(self) -> Iterator[Metric]:
        stats = self._executor.stats()
        workers = GaugeMetricFamily(
            "executor_workers", "Warm guests by kind and state.", labels=["kind", "state"]
        )
        for (kind, state), count in sorted(stats.pool.workers.items()):
            workers.add_metric([kind, state], count)
        yield workers
        yield CounterMetricFamily(
            "executor_worker_restarts",
            "Guests that were replaced because they died, stalled or broke the protocol.",
            value=stats.pool.restarts,
        )
        yield GaugeMetricFamily(
            "executor_processes", "Host processes that share the work.", value=stats.processes
        )
        yield CounterMetricFamily(
            "executor_process_restarts",
            "Host processes that were replaced because they died.",
            value=stats.process_restarts,
        )
        yield CounterMetricFamily(
            "executor_cache_hits", "Results that were known.", value=stats.cache_hits
        )
        yield CounterMetricFamily(
            "executor_cache_misses", "Results that had to be found.", value=stats.cache_misses
        )
        yield from self._store()
        scripts = GaugeMetricFamily(
            "executor_scripts", "Scripts in the executor, by state.", labels=["state"]
        )
        scripts.add_metric(["running"], stats.scripts_running)
        scripts.add_metric(["waiting"], stats.scripts_waiting)
        yield scripts
        jails = GaugeMetricFamily(
            "executor_script_jails",
            "Jails that are kept for one script after another, by state.",
            labels=["state"],
        )
        for state, count in stats.pool.script_jails.items():
            jails.add_metric([state], count)
        yield jails

    def _store(self) -> Iterator[Metric]:
        used = self._executor.stats().store
        if used is None:
            return
        lookups = CounterMetricFamily(
            "executor_store_lookups",
            "Results that the store was asked for; refused: it had an entry that is not believed.",
            labels=["outcome"],
        )
        lookups.add_metric(["hit"], used.hits)
        lookups.add_metric(["miss"], used.misses - used.refused)
        lookups.add_metric(["refused"], used.refused)
        yield lookups
        yield CounterMetricFamily(
            "executor_store_errors",
            "Questions to the store and writes that failed; the results were computed.",
            value=used.errors,
        )

    def _waived(self) -> Metric:
        waived = GaugeMetricFamily(
            "executor_waived_probes",
            "Constant 1 for each probe of the sandbox that may fail; the state says what it does.",
            labels=["probe", "state"],
        )
        for probe in self._waivers.probes:
            waived.add_metric([probe.name, probe.state], 1)
        return waived

    def _build(self) -> Metric:
        info = self._executor.info
        build = GaugeMetricFamily(
            "executor_build_info",
            "Constant 1; the labels say what is running.",
            labels=["version", "backend", "interpreter"],
        )
        build.add_metric([version(), info.backend, info.interpreter], 1)
        return build
