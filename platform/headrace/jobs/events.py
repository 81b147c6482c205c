"""What happened to a job, numbered per job without gaps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy.orm import Session

from headrace.jobs.tables import Job, JobEvent


class Event(NamedTuple):
    """One event to be; `JobEvent` says what ``data`` holds."""

    type: Literal["state", "progress", "metric", "log"]
    data: dict[str, Any]


def append(session: Session, job: Job, events: Iterable[Event], now: datetime) -> None:
    """Add ``events`` to ``job``, whose row the caller has locked: that is what keeps the numbers gapless."""
    for event in events:
        job.event_seq += 1
        session.add(
            JobEvent(
                job=job.id, seq=job.event_seq, attempt=job.attempt, type=event.type, at=now, data=event.data
            )
        )
