"""Queues: what waits in them, and who serves them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from headrace.db import clock
from headrace.jobs import queues
from headrace.paging import Page as Found
from headrace_web.calls import Call
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes

routes = Routes("queues", "/api/v1/queues")


class Queue(BaseModel):
    """A queue. `queued` are jobs that a worker could take, but for a retry that waits its time."""

    name: str
    queued: int
    running: int
    oldest_queued_s: Annotated[
        float | None, Field(description="How long the oldest has waited; null if none")
    ]
    workers: Annotated[int, Field(description="Live workers that serve it")]


def _queue(found: queues.Queue) -> Queue:
    return Queue.model_validate(found, from_attributes=True)


@routes.route("GET", role="viewer", query=PageQuery, returns=Page[Queue])
def index(call: Call, query: PageQuery) -> Page[Queue]:
    """List the queues that workers serve or that the project has jobs in, by name.

    Jobs counted are the project's own, for an admin those of all projects unless `project` is given.
    """
    after = query.position() or ""
    with call.parts.database.read() as session:
        found = queues.queues(
            session,
            call.scope(query.project),
            now=clock(session),
            alive_s=call.parts.settings.lease_s,
        )
    rest = [queue for queue in found if queue.name > after]
    page = rest[: query.limit]
    return query.page(Found(page, page[-1].name if len(rest) > len(page) else None), _queue)
