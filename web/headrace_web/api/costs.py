"""Costs: what projects, models and schedules have used."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from headrace.errors import Invalid
from headrace.jobs import costs
from headrace.paging import Page as Found
from headrace_web.api.jobs import Cost
from headrace_web.calls import Call
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes

routes = Routes("costs", "/api/v1/costs")


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("should be a day like 2027-01-31") from None


def _check(value: date) -> date:
    if not 1900 <= value.year <= 9000:
        raise ValueError("should be a day between the years 1900 and 9000")
    return value


Day = Annotated[date, BeforeValidator(_day), AfterValidator(_check)]


class CostsQuery(PageQuery):
    """Which totals."""

    by: Annotated[costs.By, Field(description="What to add up by")] = "project"
    since: Annotated[Day | None, Field(description="The first day (UTC)")] = None
    until: Annotated[Day | None, Field(description="The last day (UTC)")] = None


class Total(BaseModel):
    """What attempts used that ended on these days. `name`: of the project or model, or the schedule's id."""

    project: str
    name: str
    cost: Cost


def _total(row: costs.Total) -> Total:
    return Total(project=row.project, name=row.name, cost=Cost.of(row.cost))


@routes.route("GET", role="viewer", query=CostsQuery, returns=Page[Total])
def index(call: Call, query: CostsQuery) -> Page[Total]:
    """Add up what jobs have used, by project, model or schedule, ordered by name.

    An attempt counts on the day (UTC) on which it ended, whatever it came to. By project an admin sees all
    projects, unless `project` is given.
    """
    return query.page(found(call, query), _total)


def found(call: Call, query: CostsQuery) -> Found[costs.Total]:
    """Return the page of totals that ``query`` asks for. Raises Invalid for days in the wrong order."""
    if query.since is not None and query.until is not None and query.until < query.since:
        raise Invalid.field("query", "until", msg="should be no day before `since`")
    project = call.scope(query.project) if query.by == "project" else call.project
    with call.parts.database.read() as session:
        return costs.totals(
            session,
            project,
            query.by,
            first=query.since,
            last=query.until,
            limit=query.limit,
            cursor=query.position(),
        )
