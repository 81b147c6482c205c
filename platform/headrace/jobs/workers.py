"""The workers that there are, by what they write of themselves. No job depends on it, only
readiness and the eye."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from headrace import __version__
from headrace.jobs.tables import Worker
from headrace.paging import Page, oldest_first

FORGOTTEN_AFTER = timedelta(days=1)


def seen(
    session: Session, name: str, *, queues: Sequence[str], slots: int, started_at: datetime, now: datetime
) -> None:
    """Record that the worker ``name`` is alive."""
    session.merge(
        Worker(
            name=name,
            queues=list(queues),
            slots=slots,
            version=__version__,
            started_at=started_at,
            last_seen_at=now,
        )
    )


def gone(session: Session, name: str) -> None:
    """Record that the worker ``name`` has shut down."""
    session.execute(delete(Worker).where(Worker.name == name))


def alive(session: Session, *, now: datetime, within_s: float) -> Sequence[Worker]:
    """Return the workers that were seen in the last ``within_s`` seconds."""
    since = now - timedelta(seconds=within_s)
    return session.scalars(select(Worker).where(Worker.last_seen_at >= since).order_by(Worker.name)).all()


def workers(session: Session, *, limit: int, cursor: str | None = None) -> Page[Worker]:
    """Return one page of all workers that are known, by name."""
    return oldest_first(session, select(Worker), Worker.name, limit=limit, cursor=cursor)


def forget(session: Session, now: datetime) -> None:
    """Remove workers that have been silent for long."""
    session.execute(delete(Worker).where(Worker.last_seen_at < now - FORGOTTEN_AFTER))
