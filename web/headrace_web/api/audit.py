"""The audit log: who did what."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from headrace.access import audit
from headrace.access.tables import Audit as Row
from headrace_web.calls import Call
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes
from headrace_web.shapes import Time

routes = Routes("audit", "/api/v1/audit")


class Act(BaseModel):
    """One act. `actor` is the id of a key, or a name in brackets for an act without one."""

    id: str
    at: Time
    project: str
    actor: str
    action: Annotated[str, Field(description="`job.submit`, `alias.move`, …")]
    object: Annotated[str, Field(description="What it was done to: an id, or name@version")]
    request_id: str | None
    details: dict[str, str | float | None]


def _act(row: Row) -> Act:
    return Act.model_validate(row, from_attributes=True)


@routes.route("GET", role="maintainer", query=PageQuery, returns=Page[Act])
def index(call: Call, query: PageQuery) -> Page[Act]:
    """List what was done in the project, newest first; for an admin in all unless `project` is given."""
    with call.parts.database.read() as session:
        scope = call.scope(query.project)
        return query.page(audit.acts(session, scope, limit=query.limit, cursor=query.position()), _act)
