"""Projects: a team's own space."""

from __future__ import annotations

from pydantic import BaseModel

from headrace.access import service as access
from headrace.access.tables import Project as Row
from headrace.paging import Page as Found
from headrace_web.calls import Call
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes
from headrace_web.shapes import Time

routes = Routes("projects", "/api/v1/projects")


class Project(BaseModel):
    """A project. `weight` is its share of the workers; `max_…` are its limits, null where there is none."""

    name: str
    created_at: Time
    weight: float
    max_priority: int
    max_running: int | None
    max_queued: int | None


def _project(row: Row) -> Project:
    return Project.model_validate(row, from_attributes=True)


@routes.route("GET", role="viewer", query=PageQuery, returns=Page[Project])
def index(call: Call, query: PageQuery) -> Page[Project]:
    """List the projects that the key may see: all of them for an admin, for others their own."""
    with call.parts.database.read() as session:
        if call.principal.may("admin"):
            found = access.projects(session, limit=query.limit, cursor=query.position())
        else:
            own = session.get(Row, call.project)
            found = Found([own] if own is not None and query.position() is None else [], None)
        return query.page(found, _project)
