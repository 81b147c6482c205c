"""What a web process measures of itself, in the types of Prometheus' own client.

Labels take few values: the route is the rule of the URL map, never the path that was asked for. With several
web processes each measures what it has answered itself, and a scrape shows that of one of them.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Instruments:
    """The instruments of one process. Thread-safe."""

    def __init__(self) -> None:
        # When a series began is one more series for each; nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            "headrace_http_request_duration_seconds",
            "Time until the answer to a request begins",
            ["method", "route", "status"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )

    def observe(self, method: str, rule: str | None, status: int, duration_s: float) -> None:
        """Count a request; ``rule`` is None where there is no such path."""
        labels = (method if method in METHODS else "other", rule or "none", f"{status // 100}xx")
        self._requests.labels(*labels).observe(duration_s)

    def text(self) -> bytes:
        """Return all of it in the text format."""
        return generate_latest(self._registry)
