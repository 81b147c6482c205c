"""The lease on a running job, and the fence that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from headrace.errors import LeaseLost
from headrace.jobs import costs, events
from headrace.jobs.states import State
from headrace.jobs.tables import Job


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to write for one attempt of one job."""

    job: str
    attempt: int
    token: str


def hold(session: Session, lease: Lease) -> Job:
    """Return the job, its row locked until the transaction ends. Raises `LeaseLost`.

    A lease past its time but not yet taken away is in force: only the database's own judgement ends it.
    """
    job = session.scalar(
        select(Job)
        .where(
            Job.id == lease.job,
            Job.state == State.RUNNING,
            Job.attempt == lease.attempt,
            Job.lease_token == lease.token,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is None:
        raise LeaseLost(f"attempt {lease.attempt} of {lease.job} no longer holds its lease")
    return job


def renew(
    session: Session,
    lease: Lease,
    *,
    now: datetime,
    lease_s: float,
    happened: Sequence[events.Event] = (),
    since: int | None = None,
    used: costs.Usage | None = None,
) -> bool:
    """Prolong the lease, record what ``happened`` and what was ``used``; return whether to cancel.

    ``since`` is the number of the job's event that ``happened`` follows. While an attempt runs only its
    worker writes events, so those that came since are the first of ``happened``, from a commit whose success
    the worker was not told: they are not written twice. Progress never falls within an attempt. Raises
    `LeaseLost`.
    """
    job = hold(session, lease)
    if since is not None:
        happened = happened[job.event_seq - since :]
    job.lease_expires_at = now + timedelta(seconds=lease_s)
    costs.note(session, job, used, now)
    for event in happened:
        if event.type == "progress":
            job.fraction = max(job.fraction, event.data["fraction"])
            job.message = event.data["message"]
    events.append(session, job, happened, now)
    return job.cancel_requested
