"""What is forgotten of jobs that ended long ago: their progress, their log, what they could be resumed from,
an upload that came to nothing, and what a part had learned that its parent, which failed, did not use. Of a
part whose parent goes on nothing is forgotten.

Their learning curves stay, and so do the changes of their state, which are few: from them a job's history can
be told for ever. Numbers of events stay what they were, so after this they have gaps.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import CursorResult, delete, select, tuple_
from sqlalchemy.orm import Session, aliased

from headrace.artifacts import service as artifacts
from headrace.jobs import checkpoints
from headrace.jobs.kinds import parts
from headrace.jobs.tables import Job, JobEvent
from headrace.registry.uploads import SOURCE

FORGOTTEN = ("progress", "log")
BATCH = 1_000


def prune(session: Session, *, now: datetime, kept_for: timedelta, batch: int = BATCH) -> bool:
    """Forget at most ``batch`` events of one job that ended more than ``kept_for`` ago.

    Return whether there was such a job; call it again until there is none.
    """
    parent = aliased(Job)
    needed = select(parent.id).where(parent.id == Job.parent, parent.finished_at.is_(None)).exists()
    ended = select(Job).where(
        Job.pruned_at.is_(None), Job.finished_at.is_not(None), Job.finished_at < now - kept_for, ~needed
    )
    job = session.scalar(ended.order_by(Job.finished_at, Job.id).limit(1).with_for_update(skip_locked=True))
    if job is None:
        return False
    some = (
        select(JobEvent.job, JobEvent.seq)
        .where(JobEvent.job == job.id, JobEvent.type.in_(FORGOTTEN))
        .limit(batch)
    )
    gone = session.execute(delete(JobEvent).where(tuple_(JobEvent.job, JobEvent.seq).in_(some)))
    assert isinstance(gone, CursorResult)
    if gone.rowcount < batch:
        checkpoints.release(session, job.id)
        artifacts.detach(session, job.id, SOURCE)
        if job.parent is not None:
            parts.release(session, job)
        job.pruned_at = now
    return True
