"""Workers: who is there to run jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from headrace.db import clock
from headrace.jobs import queues, workers
from headrace.paging import Page as Found
from headrace_web.calls import Call
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes
from headrace_web.shapes import Time

routes = Routes("workers", "/api/v1/workers")


class Worker(BaseModel):
    """A worker process. It is `lost` when it has been silent for longer than a lease lasts."""

    name: str
    queues: list[str]
    slots: int
    state: Literal["idle", "busy", "lost"]
    job: Annotated[str | None, Field(description="The newest job that it runs, if it is the project's")]
    started_at: Time
    last_seen_at: Time
    version: str


def _worker(found: queues.WorkerState) -> Worker:
    row = found.worker
    return Worker(
        name=row.name,
        queues=row.queues,
        slots=row.slots,
        state=found.state,
        job=found.job,
        started_at=row.started_at,
        last_seen_at=row.last_seen_at,
        version=row.version,
    )


@routes.route("GET", role="viewer", query=PageQuery, returns=Page[Worker])
def index(call: Call, query: PageQuery) -> Page[Worker]:
    """List workers, by name.

    All projects share them and may see that they are there, and that they are busy, since that is why jobs
    wait. With which job is shown where it is one of the project's; to an admin always, unless `project` is
    given.
    """
    with call.parts.database.read() as session:
        found = workers.workers(session, limit=query.limit, cursor=query.position())
        described = queues.describe(
            session,
            found.items,
            call.scope(query.project),
            now=clock(session),
            alive_s=call.parts.settings.lease_s,
        )
        return query.page(Found(described, found.next_cursor), _worker)
