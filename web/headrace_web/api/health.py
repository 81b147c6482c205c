"""Probes: does the process answer, and can jobs be accepted and run?"""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from headrace import schema
from headrace.db import clock
from headrace.errors import Unavailable
from headrace.jobs import workers
from headrace_web.calls import Parts
from headrace_web.routes import Routes

routes = Routes("health")


class Health(BaseModel):
    """The answer of a probe that found nothing wrong."""

    status: str


@routes.route("GET", "/healthz", role="public", returns=Health)
def healthz(parts: Parts) -> Health:
    """Tell that the process answers."""
    return Health(status="ok")


@routes.route("GET", "/readyz", role="public", returns=Health, problems=[503])
def readyz(parts: Parts) -> Health:
    """Tell whether jobs can be accepted and run; if not, 503 with the reason.

    The broker need not be there: a job is accepted without it, and idle workers find it by looking.
    """
    try:
        with parts.database.read() as session:
            if problem := schema.look(session).problem:
                raise Unavailable(problem)
            if not workers.alive(session, now=clock(session), within_s=parts.settings.lease_s):
                raise Unavailable("No worker is alive.")
    except SQLAlchemyError as error:
        raise Unavailable("The database cannot be reached.") from error
    return Health(status="ready")
