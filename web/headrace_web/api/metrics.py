"""Metrics for Prometheus: counted in the database when they are asked for, and measured in this process.

Any key may read them: a scraper keeps its key in a file on yet another machine, where an admin's would be the
greater danger. So nothing here names a project, or anything that a project has named: the only queues told
apart are those that the operator has given to a worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from headrace import __version__
from headrace.artifacts import service as artifacts
from headrace.db import clock
from headrace.jobs import costs, queries, queues, workers
from headrace_web.calls import Call
from headrace_web.routes import Routes

routes = Routes("operations")


class _Census(Collector):
    """What the database tells."""

    def __init__(self, session: Session, now: datetime, alive_s: float) -> None:
        self._session = session
        self._now = now
        self._alive_s = alive_s

    def collect(self) -> Iterator[Metric]:
        """Yield each family."""
        yield InfoMetricFamily("headrace_build", "Version of this server", value={"version": __version__})
        jobs = GaugeMetricFamily("headrace_jobs", "Jobs by their state", labels=["state"])
        for state, count in queries.states(self._session).items():
            jobs.add_metric([state], count)
        yield jobs
        alive = workers.alive(self._session, now=self._now, within_s=self._alive_s)
        yield GaugeMetricFamily("headrace_workers", "Live workers", value=len(alive))
        slots = sum(worker.slots for worker in alive)
        yield GaugeMetricFamily("headrace_worker_slots", "Slots of live workers", value=slots)
        yield from self._queues()
        spent = costs.overall(self._session)
        for what, value in (("attempt", spent.wall_s), ("cpu", spent.cpu_s)):
            yield CounterMetricFamily(
                f"headrace_job_{what}_seconds", f"Time of ended attempts: {what}", value=value
            )
        yield CounterMetricFamily(
            "headrace_job_energy_joules", "Energy of ended attempts", value=spent.energy_j
        )
        size = artifacts.size(self._session)
        yield GaugeMetricFamily("headrace_stored_bytes", "Bytes of all artifacts in use", value=size)

    def _queues(self) -> Iterator[Metric]:
        queued = GaugeMetricFamily("headrace_queue_queued_jobs", "Jobs queued", labels=["queue"])
        running = GaugeMetricFamily("headrace_queue_running_jobs", "Jobs running", labels=["queue"])
        oldest = GaugeMetricFamily(
            "headrace_queue_oldest_queued_seconds", "How long the oldest queued job waits", labels=["queue"]
        )
        for queue in queues.queues(self._session, None, now=self._now, alive_s=self._alive_s):
            if queue.workers:
                queued.add_metric([queue.name], queue.queued)
                running.add_metric([queue.name], queue.running)
                oldest.add_metric([queue.name], queue.oldest_queued_s or 0.0)
        yield from (queued, running, oldest)


@routes.route("GET", "/metrics", role="viewer", produces="text/plain")
def metrics(call: Call) -> Response:
    """Show metrics in Prometheus' text format; none tells anything of one project."""
    registry = CollectorRegistry()
    with call.parts.database.read() as session:
        registry.register(_Census(session, clock(session), call.parts.settings.lease_s))
        counted = generate_latest(registry)
    return Response(counted + call.parts.instruments.text(), content_type=CONTENT_TYPE_LATEST)
