"""Jobs: submit, look at, cancel, retry, and what they leave behind."""

from __future__ import annotations

import re
from typing import Annotated, Any

from flask import Response, request
from pydantic import BaseModel, Field, field_validator
from sqlalchemy.orm import Session

from headrace.access import service as access
from headrace.errors import Invalid
from headrace.jobs import costs, queries, service, transitions
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import Job as JobRow
from headrace.jobs.tables import JobEvent as EventRow
from headrace.specs.base import Spec
from headrace.specs.jobs import JobRequest
from headrace_web import live
from headrace_web.calls import Answer, Call
from headrace_web.idempotency import once
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes
from headrace_web.shapes import Moment, Time

routes = Routes("jobs", "/api/v1/jobs")

_EVENT_ID = re.compile(r"[0-9]{1,15}")


class Progress(BaseModel):
    """How far a job is, 0 to 1, and what it is doing."""

    fraction: float
    message: str


class JobError(BaseModel):
    """Why a job, or its last attempt, did not succeed."""

    type: str
    message: str
    attempt: int
    retryable: bool


class Cost(BaseModel):
    """What something has used: seconds, bytes and joules; of an attempt that runs, as last seen.

    `wall_s` and `cpu_s` are sums over attempts, `peak_bytes` is the most of one. `energy_source` is `rapl`
    only where all of it was measured, else `estimate`; null where nothing is known yet.
    """

    attempts: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    energy_j: float
    energy_source: costs.EnergySource | None

    @classmethod
    def of(cls, cost: costs.Cost) -> Cost:
        """Return ``cost`` as it is shown."""
        return cls(
            attempts=cost.attempts,
            wall_s=round(cost.wall_s, 3),
            cpu_s=round(cost.cpu_s, 3),
            peak_bytes=cost.peak_bytes,
            energy_j=round(cost.energy_j, 3),
            energy_source=cost.energy_source,
        )


class Job(BaseModel):
    """A job. `spec` is the resolved one; `attempt` counts claims, `max_attempts` limits `failures`.

    A job that is a part of another's work has that as its `parent`; `part` says which part, `figures` what
    has come out of it for the parent.
    """

    id: str
    kind: str
    name: str
    project: str
    state: State
    priority: int
    queue: str
    spec: dict[str, Any]
    tags: dict[str, str]
    depends_on: list[str]
    attempt: int
    failures: int
    max_attempts: int
    timeout_s: int
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    created_by: str | None
    worker: str | None
    progress: Progress
    cancel_requested: bool
    result: dict[str, Any] | None
    error: JobError | None
    retry_of: str | None
    parent: str | None
    part: str | None
    figures: dict[str, Any] | None
    cost: Annotated[Cost | None, Field(description="Null until an attempt has begun")]


class Event(BaseModel):
    """Something that happened to a job; `seq` counts from 1, without gaps."""

    seq: int
    attempt: int
    type: str
    at: Time
    data: dict[str, Any]


class JobsQuery(PageQuery):
    """The filters of the list of jobs."""

    state: State | None = None
    kind: Annotated[str | None, Field(max_length=100)] = None
    queue: Annotated[str | None, Field(max_length=100)] = None
    model: Annotated[str | None, Field(max_length=100)] = None
    dataset: Annotated[str | None, Field(max_length=100)] = None
    parent: Annotated[str | None, Field(max_length=100, description="Only the parts of this job's work")] = (
        None
    )
    tag: Annotated[str | None, Field(max_length=500, description="`key:value`")] = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    q: Annotated[str | None, Field(max_length=200, description="Part of the name, or an id")] = None

    @field_validator("tag")
    @classmethod
    def _key_and_value(cls, value: str | None) -> str | None:
        if value is not None and ":" not in value:
            raise ValueError("should be key:value")
        return value

    def wanted(self) -> queries.JobFilter:
        """Return the filters as the domain takes them."""
        key, _, value = (self.tag or "").partition(":")
        return queries.JobFilter(
            state=self.state,
            kind=self.kind,
            queue=self.queue,
            model=self.model,
            dataset=self.dataset,
            parent=self.parent,
            tag=None if self.tag is None else (key, value),
            created_after=self.created_after,
            created_before=self.created_before,
            q=self.q,
        )


class Retry(Spec):
    """How to do a job again."""

    resume: Annotated[
        bool, Field(description="Go on from the last checkpoint, where there is one; else from the beginning")
    ] = False


class EventsQuery(PageQuery):
    """Which events."""

    after: Annotated[int, Field(ge=0, le=10**15, description="Only events with a higher `seq`")] = 0


def _job(row: JobRow, cost: costs.Cost | None = None) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        name=row.name,
        project=row.project,
        state=State(row.state),
        priority=row.priority,
        queue=row.queue,
        spec=row.spec,
        tags=row.tags,
        depends_on=row.depends_on,
        attempt=row.attempt,
        failures=row.failures,
        max_attempts=row.max_attempts,
        timeout_s=row.timeout_s,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        created_by=row.created_by,
        worker=row.worker,
        progress=Progress(fraction=row.fraction, message=row.message),
        cancel_requested=row.cancel_requested,
        result=row.result,
        error=None if row.error is None else JobError.model_validate(row.error),
        retry_of=row.retry_of,
        parent=row.parent,
        part=row.part,
        figures=row.figures,
        cost=None if cost is None else Cost.of(cost),
    )


def _shown(session: Session, row: JobRow) -> Job:
    return _job(row, costs.of(session, [row.id]).get(row.id))


def event_json(row: EventRow) -> str:
    """Return an event as the JSON that the API shows."""
    return _event(row).model_dump_json()


def _event(row: EventRow) -> Event:
    return Event(seq=row.seq, attempt=row.attempt, type=row.type, at=row.at, data=row.data)


def accepted(row: JobRow) -> Answer:
    """Return the answer to whoever has submitted a job."""
    return Answer(body=_job(row), headers={"Location": f"/api/v1/jobs/{row.id}"})


@routes.route(
    "POST", role="submitter", body=JobRequest, returns=Job, status=202, idempotent=True, problems=[429]
)
def submit(call: Call, body: JobRequest) -> Response:
    """Submit a job. Its spec is checked in full here: what is wrong with it is a 422, not a failed job."""

    def act(session: Session) -> Answer:
        created_by = call.principal.key
        return accepted(
            service.submit(session, project=call.project, request=body, created_by=created_by, now=call.now)
        )

    return once(call, act, status=202)


@routes.route("GET", role="viewer", query=JobsQuery, returns=Page[Job])
def index(call: Call, query: JobsQuery) -> Page[Job]:
    """List jobs, newest first.

    With several filters, or with `q`, a page looks at a thousand jobs at most: it may have few items, or
    none, and a cursor all the same.
    """
    with call.parts.database.read() as session:
        wanted = query.wanted()
        found = queries.jobs(session, call.project, wanted, limit=query.limit, cursor=query.position())
        spent = costs.of(session, [row.id for row in found.items])
        return query.page(found, lambda row: _job(row, spent.get(row.id)))


@routes.route("GET", "/<id:job>", role="viewer", returns=Job)
def show(call: Call, job: str) -> Job:
    """Show one job."""
    with call.parts.database.read() as session:
        return _shown(session, service.job(session, call.project, job))


@routes.route("POST", "/<id:job>/cancel", role="submitter", returns=Job, status=202, problems=[409])
def cancel(call: Call, job: str) -> Job:
    """Cancel a job: at once if it does not run yet, within seconds if it does."""
    with call.parts.database.transaction() as session:
        return _shown(session, transitions.request_cancel(session, call.project, job, call.now))


@routes.route(
    "POST",
    "/<id:job>/retry",
    role="submitter",
    body=Retry,
    returns=Job,
    status=202,
    idempotent=True,
    problems=[409, 429],
)
def retry(call: Call, job: str, body: Retry) -> Response:
    """Submit a failed or cancelled job again, as a new job."""

    def act(session: Session) -> Answer:
        created_by = call.principal.key
        return accepted(
            service.retry(
                session,
                project=call.project,
                job_id=job,
                created_by=created_by,
                now=call.now,
                resume=body.resume,
            )
        )

    return once(call, act, status=202)


@routes.route(
    "GET",
    "/<id:job>/events",
    role="viewer",
    query=EventsQuery,
    returns=Page[Event],
    produces=live.MEDIA_TYPE,
    problems=[503],
)
def events(call: Call, job: str, query: EventsQuery) -> Page[Event] | Response:
    """List what has happened to a job, oldest first; or watch it live.

    With `Accept: text/event-stream` the answer is a stream of events as they happen: `id` is the `seq`,
    `event` the `type`, `data` the very object that the list shows. It goes on after `Last-Event-ID` where
    that is sent, ends after the final state, and may end before that: then it is resumed. When there is
    nothing to resume, since the job has ended, the answer is 204. With too many streams open, it is 503.
    """
    after = query.position() or str(query.after)
    with call.parts.database.read() as session:
        row = service.job(session, call.project, job)
        if request.accept_mimetypes[live.MEDIA_TYPE] <= request.accept_mimetypes["application/json"]:
            return query.page(queries.events(session, row, limit=query.limit, cursor=after), _event)
    return watch(call, row, int(after))


def watch(call: Call, row: JobRow, after: int) -> Response:
    """Return the live stream of a job's events after ``Last-Event-ID``, or else ``after``."""
    last = request.headers.get("Last-Event-ID", "")
    if last and not _EVENT_ID.fullmatch(last):
        raise Invalid.field("header", "Last-Event-ID", msg="should be the id of an event")
    if last and row.state in FINAL and int(last) >= row.event_seq:
        return Response(status=204)  # which tells an EventSource not to come back

    def check() -> None:
        with call.parts.database.read() as session:
            access.valid_key(session, call.principal.key, call.parts.clock())

    stream = call.parts.feed.open(row, after=int(last or after), check=check)
    return Response(stream, content_type=live.MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
