"""Projects: a team's own space, what it may use and what it uses."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from headrace.access import quotas
from headrace.access import service as access
from headrace.access.tables import Project as Row
from headrace.db import MAX_INTEGER
from headrace.errors import NotFound
from headrace.paging import Page as Found
from headrace.specs.base import Spec
from headrace_web import preconditions
from headrace_web.calls import Answer, Call
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes
from headrace_web.shapes import Time

routes = Routes("projects", "/api/v1/projects")

Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class Usage(BaseModel):
    """What a project uses now; `queued` counts waiting jobs too."""

    running: int
    queued: int
    stored_bytes: int


class Project(BaseModel):
    """A project. `weight` is its share of the workers; `max_…` are its limits, null where there is none."""

    name: str
    created_at: Time
    weight: float
    max_priority: int
    max_running: int | None
    max_queued: int | None
    max_stored_bytes: int | None
    usage: Usage


class Changes(Spec):
    """What is to be changed; what is left out stays as it is, a limit of null is taken away."""

    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    max_priority: Annotated[int, Field(ge=0, le=9)] = 9
    max_running: Count | None = None
    max_queued: Count | None = None
    max_stored_bytes: Annotated[int, Field(ge=0, le=2**53)] | None = None


def _project(row: Row, usage: quotas.Usage) -> Project:
    return Project(
        name=row.name,
        created_at=row.created_at,
        weight=row.weight,
        max_priority=row.max_priority,
        max_running=row.max_running,
        max_queued=row.max_queued,
        max_stored_bytes=row.max_stored_bytes,
        usage=Usage.model_validate(usage, from_attributes=True),
    )


def _etag(row: Row) -> str:
    """What is set, not what is used: that changes all the time, and nobody edits it."""
    settings = [getattr(row, name) for name in Changes.model_fields]
    return hashlib.sha256(repr([row.name, *settings]).encode()).hexdigest()[:16]


def _answer(session: Session, row: Row) -> Answer:
    project = _project(row, quotas.usage(session, [row.name])[row.name])
    return Answer(body=project, headers={"ETag": f'"{_etag(row)}"'})


@routes.route("GET", role="viewer", query=PageQuery, returns=Page[Project])
def index(call: Call, query: PageQuery) -> Page[Project]:
    """List the projects that the key may see: all of them for an admin, for others their own."""
    with call.parts.database.read() as session:
        if call.principal.may("admin"):
            found = access.projects(session, limit=query.limit, cursor=query.position())
        else:
            own = [] if query.position() is not None else [access.project(session, call.project)]
            found = Found(own, None)
        usage = quotas.usage(session, [row.name for row in found.items])
        return query.page(found, lambda row: _project(row, usage[row.name]))


@routes.route("GET", "/<name:name>", role="viewer", returns=Project)
def show(call: Call, name: str) -> Answer:
    """Show a project: the key's own, to an admin any."""
    if name != call.project and not call.principal.may("admin"):
        raise NotFound(f"there is no project {name!r}")
    with call.parts.database.read() as session:
        return _answer(session, access.project(session, name))


@routes.route("PATCH", "/<name:name>", role="admin", body=Changes, returns=Project, problems=[412])
def update(call: Call, name: str, body: Changes) -> Answer:
    """Change the limits of a project. Jobs that are there already stay, even above a new limit."""
    changes = {field: getattr(body, field) for field in body.model_fields_set}
    with call.parts.database.transaction() as session:
        row = access.project(session, name, lock=True)
        preconditions.check(_etag(row))
        access.update_project(session, row, changes, call.now)
        return _answer(session, row)
