"""Reading jobs: lists with filters, events, metrics, logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, any_, func, or_, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from headrace.db import first_id, is_postgresql
from headrace.jobs.states import State
from headrace.jobs.tables import Job, JobEvent, JobTag
from headrace.paging import Page, newest_first, newest_first_sieved, oldest_first

_EQUAL = ("parent", "model", "dataset", "queue", "kind", "state")
"""Filters that an index answers, in the order in which they lead: those that leave least first."""

_ID = re.compile("job_[0-9a-f]{26}")
_SKEW = timedelta(minutes=1)
"""How far the time in a job's id may be from its ``created_at``."""

LOG_BATCH = 1_000
MOST_NEWS = 2_000


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs to list; None means any. ``q`` is the id or found in the name; ``tag`` is (key, value)."""

    state: str | None = None
    kind: str | None = None
    queue: str | None = None
    model: str | None = None
    dataset: str | None = None
    parent: str | None = None
    tag: tuple[str, str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    q: str | None = None


def jobs(
    session: Session, project: str, wanted: JobFilter, *, limit: int, cursor: str | None = None
) -> Page[Job]:
    """Return one page of the project's jobs, newest first.

    One filter leads: an index gives its jobs in order. The others are looked for among these, by
    `headrace.paging.newest_first_sieved`; so is what is found in names. A page costs no more for it.
    """
    equal = {name: value for name in _EQUAL if (value := getattr(wanted, name)) is not None}
    if wanted.tag is not None:
        key, value = wanted.tag
        query = select(Job).join(JobTag, JobTag.job == Job.id)
        query = query.where(JobTag.key == key, JobTag.value == value)
        index = (JobTag.project, JobTag.job)
    else:
        query = select(Job)
        index = (Job.project, Job.id)
        if equal:
            leading = "state" if wanted.state not in (None, State.SUCCEEDED) else next(iter(equal))
            query = query.where(getattr(Job, leading) == equal.pop(leading))
    owner, walked = index
    # PostgreSQL takes the plain condition for a reason not to order by it, see `newest_first`.
    query = query.where(owner == (any_(array([project])) if is_postgresql(session) else project))
    until = None
    if wanted.created_after is not None:
        until = first_id("job", _shifted(wanted.created_after, -_SKEW))
    if wanted.created_before is not None:
        query = query.where(walked < first_id("job", _shifted(wanted.created_before, _SKEW)))
    if wanted.q is not None and _ID.fullmatch(wanted.q):
        query = query.where(Job.id == wanted.q)
    if not equal and wanted.created_after is None and wanted.created_before is None and wanted.q is None:
        return newest_first(session, query, Job.id, index=index, limit=limit, cursor=cursor)

    def sieve(job: type[Job]) -> list[ColumnElement[bool]]:
        met = [getattr(job, name) == value for name, value in equal.items()]
        if wanted.created_after is not None:
            met.append(job.created_at > wanted.created_after)
        if wanted.created_before is not None:
            met.append(job.created_at < wanted.created_before)
        if wanted.q is not None:
            met.append(or_(job.id == wanted.q, job.name.icontains(wanted.q, autoescape=True)))
        return met

    return newest_first_sieved(
        session, query, Job.id, sieve, index=index, until=until, limit=limit, cursor=cursor
    )


def _shifted(moment: datetime, by: timedelta) -> datetime:
    """Return ``moment`` + ``by``, or the end of time that is in the way."""
    try:
        return moment + by
    except OverflowError:
        return moment


def count(session: Session, project: str, state: State) -> int:
    """Return how many jobs of the project are in ``state``; meant for states that few jobs are in at once."""
    query = select(func.count()).where(Job.project == project, Job.state == state)
    return session.scalar(query) or 0


def states(session: Session) -> dict[str, int]:
    """Return how many jobs of all projects are in each state."""
    found = dict(session.execute(select(Job.state, func.count()).group_by(Job.state)).all())
    return {state.value: found.get(state.value, 0) for state in State}


def events(session: Session, job: Job, *, limit: int, cursor: str | None = None) -> Page[JobEvent]:
    """Return one page of a job's events, oldest first. The cursor is the number of the last one seen."""
    query = select(JobEvent).where(JobEvent.job == job.id)
    return oldest_first(session, query, JobEvent.seq, limit=limit, cursor=cursor)


def events_between(
    session: Session, job_id: str, after: int, until: int, *, limit: int
) -> Sequence[JobEvent]:
    """Return the first ``limit`` events of a job that are numbered above ``after``, up to ``until``."""
    query = select(JobEvent).where(JobEvent.job == job_id, JobEvent.seq > after, JobEvent.seq <= until)
    return session.scalars(query.order_by(JobEvent.seq).limit(limit)).all()


def news(session: Session, seen: Mapping[str, int]) -> Sequence[JobEvent]:
    """Return events of several jobs beyond the number seen of each: job by job, of each oldest first.

    What is beyond `MOST_NEWS` in all comes with the next call.
    """
    heads = session.execute(select(Job.id, Job.event_seq).where(Job.id.in_(seen)))
    moved = [job_id for job_id, head in heads if head > seen[job_id]]
    if not moved:
        return []
    newer = or_(*(and_(JobEvent.job == job_id, JobEvent.seq > seen[job_id]) for job_id in moved))
    query = select(JobEvent).where(newer).order_by(JobEvent.job, JobEvent.seq)
    return session.scalars(query.limit(MOST_NEWS)).all()


def metrics(session: Session, job: Job) -> dict[str, list[tuple[int, float]]]:
    """Return the learning curves of the job's last attempt: name → [(step, value), …]."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in session.scalars(_of_type(job, "metric", job.attempt)):
        series.setdefault(row.data["name"], []).append((row.data["step"], row.data["value"]))
    return series


def log(session: Session, job: Job, attempt: int | None = None) -> Iterator[str]:
    """Yield the job's log in pieces, oldest first: of one attempt, or of all."""
    for row in session.scalars(_of_type(job, "log", attempt).execution_options(yield_per=LOG_BATCH)):
        yield row.data["text"]


def _of_type(job: Job, type: str, attempt: int | None) -> Select[JobEvent]:
    query = select(JobEvent).where(JobEvent.job == job.id, JobEvent.type == type)
    if attempt is not None:
        query = query.where(JobEvent.attempt == attempt)
    return query.order_by(JobEvent.seq)
