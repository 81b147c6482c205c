"""Coordinators: jobs whose work is other jobs, their parts. `tick` advances them as their parts end.

A coordinator runs in no slot, so that it needs none: with one slot its parts run one after another, and a
quota of one running job lets them through. Nobody holds its lease, which never ends. What it does next is
planned from its parts alone (`headrace.jobs.kinds`), outside of any transaction that writes, since that may
take a while; then done under the lock of its row, where what has been overtaken is left out: a part that is
there is not made again, one that has ended is not cancelled. So any number of schedulers may advance one
coordinator, and one that dies half-way has done nothing or all of a step.

::

    queued ──▶ running ──every part has ended as it should──▶ succeeded: the effects, in one transaction
                  ├── a part ended badly, or a plan cannot be carried out ──▶ failed
                  └── cancelled by a person ──▶ cancelled
                  in the two last cases all parts that have not ended are cancelled with it

A coordinator has one attempt: ``max_attempts`` is that of its parts, and so is ``timeout_s``, the limit of
each of their attempts. How long the whole takes depends on how many slots there are, and has no limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, aliased

from headrace.db import new_id
from headrace.errors import HeadraceError
from headrace.jobs import dependencies, events, kinds, transitions
from headrace.jobs.events import Event
from headrace.jobs.kinds import Part, Plan
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import COORDINATOR, Job, coordinates
from headrace.origin import Origin, acting

_STEP = 0.001
"""A smaller step of progress is not worth an event."""

Mark = tuple[int, int]
"""How many events a coordinator has, and how many all its parts have together."""


def parts(session: Session, job_id: str) -> Sequence[Job]:
    """Return the parts of a coordinator, oldest first."""
    return session.scalars(select(Job).where(Job.parent == job_id).order_by(Job.id)).all()


def marks(session: Session) -> dict[str, Mark]:
    """Return a mark of every coordinator that runs, oldest first.

    It is another one once anything has happened to the job or to one of its parts, which costs one query that
    reads a number of each, instead of planning.
    """
    part = aliased(Job)
    happened = select(func.sum(part.event_seq)).where(part.parent == Job.id).scalar_subquery()
    query = select(Job.id, Job.event_seq, happened).where(coordinates(), Job.state == State.RUNNING)
    rows = session.execute(query.order_by(Job.id)).all()
    return {job_id: (own, int(others or 0)) for job_id, own, others in rows}


def plan(session: Session, job: Job) -> Plan | None:
    """Return what ``job``, which runs, does next, None where that is nothing. Writes nothing."""
    there = parts(session, job.id)
    found = kinds.coordinator(job).plan(session, job, there)
    new = any(found.figures.get(part.id, part.figures) != part.figures for part in there)
    acts = found.parts or found.unneeded or found.broken or found.done
    return found if new or acts or _is_progress(job, found) else None


def carry_out(session: Session, job: Job, plan: Plan, now: datetime) -> None:
    """Do what ``plan`` says for ``job``, whose row the caller has locked, where it still runs."""
    if job.state != State.RUNNING:
        return
    there = {part.id: part for part in parts(session, job.id)}
    _note(session, job, there, plan, now)
    if plan.broken is not None:
        transitions.break_off(session, job, type="PartFailed", message=plan.broken, now=now)
        return
    names = {part.part for part in there.values()}
    try:
        for part in plan.parts:
            if part.name not in names:
                _make(session, job, part, now)
    except HeadraceError as error:
        transitions.break_off(session, job, type="BadSpec", message=error.detail[:4000], now=now)
        return
    for part_id in plan.unneeded:
        if found := _unended(session, part_id):
            transitions.stop(session, found, now=now)
    if plan.done:
        ended = list(there.values())
        result = kinds.coordinator(job).finish(session, job, ended, now)
        transitions.complete(session, job, result=result, now=now)


def give_up(session: Session, job: Job, error: Exception, now: datetime) -> None:
    """Fail ``job``, whose row the caller has locked, for an ``error`` that no later step would mend: what it
    needs is there no more, or a bug.
    """
    if job.state != State.RUNNING:
        return
    if isinstance(error, HeadraceError):
        transitions.break_off(session, job, type=type(error).__name__, message=error.detail[:4000], now=now)
        return
    message = f"an unexpected {type(error).__name__} ended it; the scheduler's log says where"
    transitions.break_off(session, job, type="InternalError", message=message, now=now)


def take_over(session: Session, old: Job, new: Job) -> None:
    """Give ``new`` the parts of ``old``, which has ended, that need not be done again.

    They must still have what they have learned, see `headrace.jobs.retention`.
    """
    if old.lane != COORDINATOR:
        return
    kept = or_(Job.state == State.SUCCEEDED, Job.figures["state"].as_string() == "pruned")
    session.execute(
        update(Job)
        .where(Job.parent == old.id, Job.state.in_(FINAL), Job.pruned_at.is_(None), kept)
        .values(parent=new.id)
        .execution_options(synchronize_session=False)
    )


def _note(session: Session, job: Job, there: Mapping[str, Job], plan: Plan, now: datetime) -> None:
    """Write down what has come out of parts, and how far the whole is."""
    happened: list[Event] = []
    for part_id, figures in plan.figures.items():
        if there[part_id].figures != figures:
            there[part_id].figures = figures
            happened.extend(plan.events.get(part_id, ()))
    if _is_progress(job, plan):
        job.fraction, job.message = max(job.fraction, plan.fraction), plan.message
        happened.append(Event("progress", {"fraction": job.fraction, "message": job.message}))
    events.append(session, job, happened, now)
    session.flush()


def _is_progress(job: Job, plan: Plan) -> bool:
    return plan.fraction - job.fraction >= _STEP or plan.message != job.message


def _make(session: Session, job: Job, part: Part, now: datetime) -> None:
    """Submit a part. It is checked as any job is, and takes over how urgent and where its parent is."""
    resolved = dependencies.resolve(session, job.project, part.kind, part.spec)
    child = Job(
        id=new_id("job", now),
        project=job.project,
        kind=part.kind,
        name=f"{job.name or job.kind}: {part.name}",
        priority=job.priority,
        queue=job.queue,
        lane=kinds.kind(part.kind).LANE,  # its spec may be that of its parent
        spec=resolved.spec,
        tags={},
        depends_on=[],
        model=resolved.model,
        dataset=resolved.dataset,
        max_attempts=job.max_attempts,
        timeout_s=job.timeout_s,
        created_by=job.created_by,
        parent=job.id,
        part=part.name,
        figures=part.figures,
    )
    whence = Origin(project=job.project, request_id=job.request_id, traceparent=job.traceparent)
    with acting(whence):
        transitions.create(session, child, waiting=False, now=now)


def _unended(session: Session, part_id: str) -> Job | None:
    return session.scalar(
        select(Job)
        .where(Job.id == part_id, Job.finished_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
