"""The resources, one module each: parse → service → JSON.

A module holds the shapes of its resource as models, and its routes. What a route may answer, and to whom, is
written at the route (`headrace_web.routes`).
"""

from __future__ import annotations

from flask import Flask

from headrace_web.api import (
    algorithms,
    audit,
    costs,
    datasets,
    health,
    job_results,
    jobs,
    keys,
    metrics,
    models,
    online,
    pages,
    projects,
    queues,
    schedules,
    workers,
)
from headrace_web.routes import Route

RESOURCES = (
    jobs,
    job_results,
    datasets,
    models,
    online,
    algorithms,
    schedules,
    keys,
    projects,
    workers,
    queues,
    costs,
    audit,
    metrics,
    health,
    pages,
)


def all_routes() -> list[Route]:
    """Return every route, in the order of the documentation."""
    return [route for resource in RESOURCES for route in resource.routes.routes]


def register(app: Flask) -> None:
    """Add every route to ``app``."""
    for resource in RESOURCES:
        resource.routes.register(app)
