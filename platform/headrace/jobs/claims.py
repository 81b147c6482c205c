"""Which job a worker gets next.

Priority first; then fair share between projects: the one with the fewest running jobs ÷ its weight, then
the one that started a job least recently; then age. A project at its quota of running jobs is passed over.
Coordinators are never claimed and count as nothing here: they run in no slot.

Claims are serialised: by the write lock on SQLite, by an advisory lock on PostgreSQL. It is taken in a
statement of its own, since at READ COMMITTED only the statements after it see what the last claimer did.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, column, func, or_, select, text, true, values
from sqlalchemy.orm import Session

from headrace.access.tables import Project
from headrace.db import is_postgresql
from headrace.jobs import transitions
from headrace.jobs.leases import Lease
from headrace.jobs.states import State
from headrace.jobs.tables import Job, holds_slot, in_state

_CLAIM_LOCK = 0x48656164


def claim(
    session: Session, *, worker: str, queues: Sequence[str], lane: str, now: datetime, lease_s: float
) -> Lease | None:
    """Give the best claimable job of ``queues`` and ``lane`` to ``worker``; None when there is none."""
    if is_postgresql(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CLAIM_LOCK})
    job = None
    while job is None:
        job_id = _best(session, queues, lane, now)
        if job_id is None:
            return None
        # Locked by itself, and looked at again: a cancel may have come between. Then the next one is due.
        job = session.scalar(
            select(Job)
            .where(Job.id == job_id, Job.state == State.QUEUED)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    project = session.get_one(Project, job.project, with_for_update={"key_share": True})
    project.last_started_at = now
    return transitions.start(session, job, worker=worker, now=now, lease_s=lease_s)


def _best(session: Session, queues: Sequence[str], lane: str, now: datetime) -> str | None:
    """Each queue of each project offers its best job, found at the head of ``ix_jobs_claim``: jobs of other
    queues, and ended ones, are never read.
    """
    here = select(func.count()).where(Job.project == Project.name, holds_slot())
    running = here.scalar_subquery()
    able = (
        select(
            Project.name.label("project"),
            (running / Project.weight).label("share"),
            Project.last_started_at.label("last_started_at"),
        )
        .where(or_(Project.max_running.is_(None), running < Project.max_running))
        .cte("able")
    )
    served = values(column("queue", String), name="served").data([(queue,) for queue in queues]).cte("served")
    first = (
        select(Job.id)
        .where(
            Job.project == able.c.project,
            Job.lane == lane,
            Job.queue == served.c.queue,
            in_state(State.QUEUED),
            Job.available_at <= now,
        )
        .order_by(Job.priority.desc(), Job.id)
        .limit(1)
        .correlate(able, served)
        .scalar_subquery()
    )
    offered = (
        select(first.label("id"), able.c.share, able.c.last_started_at).join_from(able, served, true())
    ).subquery("offered")
    best = (
        select(Job.id)
        .join(offered, Job.id == offered.c.id)
        .order_by(Job.priority.desc(), offered.c.share, offered.c.last_started_at.asc().nulls_first(), Job.id)
        .limit(1)
    )
    return session.scalar(best)
