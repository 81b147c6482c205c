"""Schedules: jobs that are submitted again and again, and what became of each of their due times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from flask import Response
from pydantic import BaseModel, Field, PlainSerializer
from sqlalchemy.orm import Session

from headrace.schedules import service
from headrace.schedules.requests import CatchUp, Overlap, ScheduleChange, ScheduleRequest
from headrace.schedules.tables import Schedule as ScheduleRow
from headrace.schedules.tables import ScheduleRun as RunRow
from headrace_web import preconditions
from headrace_web.calls import Answer, Call
from headrace_web.idempotency import once
from headrace_web.pagination import Page, PageQuery, Query
from headrace_web.routes import Routes
from headrace_web.shapes import Time

routes = Routes("schedules", "/api/v1/schedules")

MOST_UPCOMING = 1000


def _to_the_second(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


DueTime = Annotated[datetime, PlainSerializer(_to_the_second, return_type=str)]
"""A due time, shown in UTC with ``Z``; it is a whole second."""


class Schedule(BaseModel):
    """A schedule. `job` is the template as it was written; `next_due_at` is null while it is paused."""

    id: str
    name: str
    project: str
    cron: str | None
    timezone: str
    every_s: int | None
    job: dict[str, Any]
    catch_up: CatchUp
    overlap: Overlap
    enabled: bool
    next_due_at: DueTime | None
    created_at: Time
    created_by: str | None


class Run(BaseModel):
    """What became of one due time: `job` where one was `submitted`, else `reason`.

    A run that a person triggered has `triggered_by`, and was due when they did so.
    """

    id: str
    due_at: DueTime
    fired_at: Time
    outcome: str
    job: str | None
    reason: str | None
    triggered_by: str | None


class Upcoming(BaseModel):
    """The next due times, soonest first."""

    items: list[DueTime]


class UpcomingQuery(Query):
    """How many of the next due times."""

    count: Annotated[int, Field(ge=1, le=MOST_UPCOMING)] = 5


def _schedule(row: ScheduleRow) -> Schedule:
    return Schedule(
        id=row.id,
        name=row.name,
        project=row.project,
        cron=row.cron,
        timezone=row.timezone,
        every_s=row.every_s,
        job=row.job,
        catch_up=row.catch_up,
        overlap=row.overlap,
        enabled=row.enabled,
        next_due_at=row.next_due_at,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _answer(row: ScheduleRow, **headers: str) -> Answer:
    return Answer(body=_schedule(row), headers={"ETag": f'"{row.revision}"', **headers})


def _run(row: RunRow) -> Run:
    return Run(
        id=row.id,
        due_at=row.due_at,
        fired_at=row.fired_at,
        outcome=row.outcome,
        job=row.job,
        reason=row.reason,
        triggered_by=row.triggered_by,
    )


def _locked(session: Session, call: Call, schedule: str) -> ScheduleRow:
    """Return the schedule, which nobody else changes until this transaction ends, if ``If-Match`` holds."""
    row = service.schedule(session, call.project, schedule, lock=True)
    preconditions.check(str(row.revision))
    return row


@routes.route("POST", role="maintainer", body=ScheduleRequest, returns=Schedule, status=201, idempotent=True)
def create(call: Call, body: ScheduleRequest) -> Response:
    """Create a schedule. Its job is checked in full here, as if it were submitted.

    In the job, a name without a version means the latest version when it fires.
    """

    def act(session: Session) -> Answer:
        row = service.create(
            session, project=call.project, request=body, created_by=call.principal.key, now=call.now
        )
        return _answer(row, Location=f"/api/v1/schedules/{row.id}")

    return once(call, act, status=201)


@routes.route("GET", role="viewer", query=PageQuery, returns=Page[Schedule])
def index(call: Call, query: PageQuery) -> Page[Schedule]:
    """List schedules, newest first."""
    with call.parts.database.read() as session:
        found = service.schedules(session, call.project, limit=query.limit, cursor=query.position())
        return query.page(found, _schedule)


@routes.route("GET", "/<id:schedule>", role="viewer", returns=Schedule)
def show(call: Call, schedule: str) -> Answer:
    """Show one schedule. The answer's `ETag` serves `If-Match` in a later PATCH or DELETE."""
    with call.parts.database.read() as session:
        return _answer(service.schedule(session, call.project, schedule))


@routes.route(
    "PATCH", "/<id:schedule>", role="maintainer", body=ScheduleChange, returns=Schedule, problems=[412]
)
def change(call: Call, schedule: str, body: ScheduleChange) -> Answer:
    """Change a schedule: what is not sent stays as it is. `enabled` pauses it, or lets it go on.

    Due times that have passed but not fired are given up, as `missed`, by a pause and by another rule.
    """
    with call.parts.database.transaction() as session:
        row = _locked(session, call, schedule)
        service.change(session, row, body, now=call.now)
        return _answer(row)


@routes.route("DELETE", "/<id:schedule>", role="maintainer", status=204, problems=[412])
def delete(call: Call, schedule: str) -> Answer:
    """Delete a schedule and its runs. The jobs that it has submitted stay."""
    with call.parts.database.transaction() as session:
        service.delete(session, _locked(session, call, schedule), now=call.now)
    return Answer(body=None)


@routes.route(
    "POST",
    "/<id:schedule>/trigger",
    role="maintainer",
    returns=Run,
    status=202,
    idempotent=True,
    problems=[422, 429],
)
def trigger(call: Call, schedule: str) -> Response:
    """Submit the job now, besides the due times, also while the schedule is paused or a job of it runs."""

    def act(session: Session) -> Answer:
        row = service.schedule(session, call.project, schedule, lock=True)
        run = service.trigger(session, row, by=call.principal.key, now=call.now)
        return Answer(body=_run(run), headers={"Location": f"/api/v1/jobs/{run.job}"})

    return once(call, act, status=202)


@routes.route("GET", "/<id:schedule>/runs", role="viewer", query=PageQuery, returns=Page[Run])
def runs(call: Call, schedule: str, query: PageQuery) -> Page[Run]:
    """List what became of the due times, newest first."""
    with call.parts.database.read() as session:
        row = service.schedule(session, call.project, schedule)
        found = service.runs(session, row, limit=query.limit, cursor=query.position())
        return query.page(found, _run)


@routes.route("GET", "/<id:schedule>/next", role="viewer", query=UpcomingQuery, returns=Upcoming)
def upcoming(call: Call, schedule: str, query: UpcomingQuery) -> Upcoming:
    """Show the next due times; of a schedule that is paused, those that it would have."""
    with call.parts.database.read() as session:
        row = service.schedule(session, call.project, schedule)
    return Upcoming(items=service.upcoming(row, call.now, query.count))
