"""What an interrupted attempt of a job can be resumed from.

The newest two are attached to the job: should one prove damaged, there is the one before. Their bytes are
named by what was copied from the running job, which may have been altering the file: whoever resumes checks
the content besides the digest.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.jobs.leases import Lease, hold
from headrace.jobs.tables import Job

NEWEST, BEFORE = "checkpoint", "checkpoint-before"


def keep(session: Session, lease: Lease, file: Stored, now: datetime) -> None:
    """Attach ``file``, already durable, as the newest checkpoint; the oldest is released.

    Raises `LeaseLost`.
    """
    job = hold(session, lease)
    before = artifacts.attached(session, job.id).get(NEWEST)
    if before == file:
        return
    files = {NEWEST: file} | ({BEFORE: before} if before else {})
    release(session, job.id)
    artifacts.attach(session, project=job.project, owner=job.id, files=files, now=now)
    session.flush()


def of(session: Session, job_id: str) -> list[Stored]:
    """Return the checkpoints of a job, newest first."""
    there = artifacts.attached(session, job_id)
    return [there[name] for name in (NEWEST, BEFORE) if name in there]


def inherit(session: Session, old: Job, new: Job, now: datetime) -> None:
    """Let ``new`` begin where ``old``, which has ended, got to; a checkpoint of other work is not used."""
    files = dict(zip((NEWEST, BEFORE), of(session, old.id), strict=False))
    artifacts.attach(session, project=new.project, owner=new.id, files=files, now=now)


def release(session: Session, job_id: str) -> None:
    """Record that the checkpoints of a job are not needed any more."""
    artifacts.detach(session, job_id, NEWEST, BEFORE)
