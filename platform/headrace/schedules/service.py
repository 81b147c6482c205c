"""Schedules as people use them, and `fire`, which the scheduler calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select
from sqlalchemy.orm import Session

from headrace.access import audit
from headrace.access.tables import Project
from headrace.db import new_id
from headrace.errors import FieldError, HeadraceError, Invalid, NotFound
from headrace.jobs import service as jobs
from headrace.jobs.states import FINAL
from headrace.jobs.tables import Job
from headrace.paging import Page, newest_first
from headrace.schedules.requests import ScheduleChange, ScheduleRequest
from headrace.schedules.tables import Schedule, ScheduleRun
from headrace.schedules.times import Cron, Every, Timing
from headrace.specs.jobs import JobRequest

ON_TIME = timedelta(seconds=10)
"""What fires within this time of when it was due is not late: as when the scheduler is started again."""
MOST_RUNS = 500
MOST_JOBS = 25
"""How many rows, and how many jobs of these, one call of `fire` may make."""
MOST_GIVEN_UP = 10_000
OVERLAPS_WITHIN = 100
"""So many of a schedule's last jobs are looked at to see whether one still goes on."""

_FIELDS = ("name", "cron", "timezone", "every_s", "catch_up", "overlap", "enabled")
_RULE = ("cron", "timezone", "every_s")
_MICROSECOND = timedelta(microseconds=1)


def create(
    session: Session, *, project: str, request: ScheduleRequest, created_by: str | None, now: datetime
) -> Schedule:
    """Return the new schedule, its job checked in full. Raises `Invalid`, `Forbidden`."""
    row = Schedule(
        id=new_id("sch"),
        project=project,
        job=request.job.model_dump(mode="json"),
        created_at=now,
        created_by=created_by,
        revision=1,
        **{name: getattr(request, name) for name in _FIELDS},
    )
    _check_job(session, project, request.job)
    _start(row, now)
    session.add(row)
    session.flush()
    audit.record(session, "schedule.create", project=project, object=row.id, now=now)
    return row


def schedules(session: Session, project: str, *, limit: int, cursor: str | None = None) -> Page[Schedule]:
    """Return one page of the project's schedules, newest first."""
    query = select(Schedule).where(Schedule.project == project)
    return newest_first(session, query, Schedule.id, limit=limit, cursor=cursor)


def schedule(session: Session, project: str, schedule_id: str, *, lock: bool = False) -> Schedule:
    """Return one schedule, its row locked if asked for. Raises `NotFound`."""
    query = select(Schedule).where(Schedule.project == project, Schedule.id == schedule_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(query)
    if found is None:
        raise NotFound(f"there is no schedule {schedule_id[:100]!r}")
    return found


def change(session: Session, row: Schedule, change: ScheduleChange, *, now: datetime) -> None:
    """Change a schedule, whose row the caller has locked. Raises `Invalid`, `Forbidden`.

    A pause or another rule gives up the due times that have passed but not fired: they are missed. What would
    have been due during a pause has never been due.
    """
    before = {name: getattr(row, name) for name in _FIELDS}
    after = change.applied_to(before)
    if change.job is not None:
        _check_job(session, row.project, change.job)
        row.job = change.job.model_dump(mode="json")
    other_rule = any(before[name] != after[name] for name in _RULE)
    if other_rule or before["enabled"] != after["enabled"]:
        _give_up(session, row, now)
    for name in _FIELDS:
        setattr(row, name, after[name])
    if other_rule:
        _start(row, now)
    elif before["enabled"] != after["enabled"]:
        row.next_due_at = next(timing(row).after(now), None) if row.enabled else None
    row.revision += 1
    session.flush()
    audit.record(session, "schedule.change", project=row.project, object=row.id, now=now)


def delete(session: Session, row: Schedule, *, now: datetime) -> None:
    """Delete a schedule, whose row the caller has locked, and its runs. Its jobs stay."""
    session.execute(delete_rows(ScheduleRun).where(ScheduleRun.schedule == row.id))
    session.delete(row)
    session.flush()
    audit.record(session, "schedule.delete", project=row.project, object=row.id, now=now)


def trigger(session: Session, row: Schedule, *, by: str | None, now: datetime) -> ScheduleRun:
    """Submit the job of a schedule, whose row the caller has locked, now, whatever else goes on.

    Raises what `jobs.service.submit` raises, each ``loc`` beginning with "job".
    """
    # Due times are whole seconds; one of these is none, and belongs to this run alone.
    due = now.replace(microsecond=max(now.microsecond, 1))
    while session.scalar(_run_at(row, due)) is not None:
        due += _MICROSECOND
    try:
        job = _submit(session, row, now)
    except Invalid as problem:
        raise _in_job(problem) from None
    run = _record(session, row, due, now, "submitted", job=job.id, triggered_by=by)
    session.flush()
    audit.record(session, "schedule.trigger", project=row.project, object=row.id, now=now, job=job.id)
    return run


def runs(session: Session, row: Schedule, *, limit: int, cursor: str | None = None) -> Page[ScheduleRun]:
    """Return one page of what became of a schedule's due times, newest first."""
    query = select(ScheduleRun).where(ScheduleRun.schedule == row.id)
    return newest_first(session, query, ScheduleRun.id, limit=limit, cursor=cursor)


def upcoming(row: Schedule, now: datetime, count: int) -> list[datetime]:
    """Return the next ``count`` due times; of a schedule that is paused, those that it would have."""
    return list(islice(timing(row).after(now), count))


def due(session: Session, now: datetime, *, limit: int) -> Sequence[str]:
    """Return the ids of schedules that `fire` has something to do for, those that wait longest first."""
    query = select(Schedule.id).where(Schedule.next_due_at <= now).order_by(Schedule.next_due_at)
    return session.scalars(query.limit(limit)).all()


def fire(session: Session, schedule_id: str, now: datetime) -> None:
    """Go through due times of a schedule that have passed; what is too much for once is left for later.

    One that somebody else is firing, or has just fired, is left alone.
    """
    row = session.scalar(
        select(Schedule)
        .where(Schedule.id == schedule_id, Schedule.next_due_at <= now)
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return
    submitted = 0
    for due_at, newest in _passed(session, row, now, MOST_RUNS):
        if row.catch_up == "all" or (newest and (row.catch_up == "latest" or now - due_at <= ON_TIME)):
            submitted += _fire_one(session, row, due_at, now)
        else:
            _record(session, row, due_at, now, "missed", reason="nothing fired it in time")
        if submitted == MOST_JOBS:
            break
    session.flush()


def timing(row: Schedule) -> Timing:
    """Return the rule of a schedule."""
    if row.cron is not None:
        return Cron(row.cron, row.timezone)
    assert row.every_s is not None
    return Every(row.every_s, row.anchor)


def _start(row: Schedule, now: datetime) -> None:
    """Let the rule of ``row`` begin. Raises `Invalid` for none, for two, and for one that is never due."""
    if row.cron is None and row.every_s is None:
        raise Invalid.field("cron", msg="is missing: give either cron or every_s")
    if row.cron is not None and row.every_s is not None:
        raise Invalid.field("every_s", msg="is one rule too many: give either cron or every_s")
    row.anchor = now.replace(microsecond=0)
    first = next(timing(row).after(now), None)
    if first is None:
        raise Invalid.field("cron", msg="is never due: no date is like that")
    row.next_due_at = first if row.enabled else None


def _passed(session: Session, row: Schedule, now: datetime, limit: int) -> Iterator[tuple[datetime, bool]]:
    """Yield due times that have passed, oldest first, each with whether it is the newest; the schedule's
    ``next_due_at`` is moved past each. What has a row already, since the clock went back, is left out.
    """
    first = row.next_due_at
    if first is None:
        return
    query = select(ScheduleRun.due_at).where(ScheduleRun.schedule == row.id)
    there = set(session.scalars(query.where(ScheduleRun.due_at >= first, ScheduleRun.due_at <= now)))
    later = timing(row).after(first)
    for _ in range(limit):
        due_at = row.next_due_at
        if due_at is None or due_at > now:
            return
        row.next_due_at = next(later, None)
        if due_at not in there:
            yield due_at, row.next_due_at is None or row.next_due_at > now


def _fire_one(session: Session, row: Schedule, due_at: datetime, now: datetime) -> bool:
    """Record what becomes of a due time that fires; return whether it is a job."""
    if row.overlap == "skip" and (going_on := _going_on(session, row)) is not None:
        _record(session, row, due_at, now, "skipped", reason=f"{going_on} has not ended")
        return False
    try:
        with session.begin_nested():
            job = _submit(session, row, now)
    except HeadraceError as problem:
        _record(session, row, due_at, now, "failed", reason=problem.detail)
        return False
    _record(session, row, due_at, now, "submitted", job=job.id)
    return True


def _going_on(session: Session, row: Schedule) -> str | None:
    """Return a job of this schedule that has not ended."""
    last = (
        select(ScheduleRun.job)
        .where(ScheduleRun.schedule == row.id, ScheduleRun.job.is_not(None))
        .order_by(ScheduleRun.id.desc())
        .limit(OVERLAPS_WITHIN)
    )
    return session.scalar(select(Job.id).where(Job.id.in_(last), Job.state.not_in(FINAL)).limit(1))


def _submit(session: Session, row: Schedule, now: datetime) -> Job:
    request = JobRequest.model_validate(row.job)
    request = request.model_copy(update={"name": request.name or row.name})
    return jobs.submit(session, project=row.project, request=request, created_by=row.created_by, now=now)


def _record(
    session: Session, row: Schedule, due_at: datetime, now: datetime, outcome: str, **more: Any
) -> ScheduleRun:
    run = ScheduleRun(id=new_id("run"), schedule=row.id, due_at=due_at, fired_at=now, outcome=outcome, **more)
    session.add(run)
    return run


def _run_at(row: Schedule, due_at: datetime) -> Any:
    return select(ScheduleRun.id).where(ScheduleRun.schedule == row.id, ScheduleRun.due_at == due_at)


def _give_up(session: Session, row: Schedule, now: datetime) -> None:
    """Record the due times that have passed but not fired as missed; of very many only the oldest."""
    for due_at, _ in _passed(session, row, now, MOST_GIVEN_UP):
        _record(session, row, due_at, now, "missed", reason="the schedule was changed before it fired")


def _check_job(session: Session, project: str, request: JobRequest) -> None:
    if request.depends_on:
        raise Invalid.field("job", "depends_on", msg="should be empty: a schedule waits for no job")
    row = session.get_one(Project, project, with_for_update={"key_share": True})
    try:
        jobs.check(session, row, request)
    except Invalid as problem:
        raise _in_job(problem) from None


def _in_job(problem: Invalid) -> Invalid:
    return Invalid([FieldError(loc=("job", *error.loc), msg=error.msg) for error in problem.errors])
