"""Queues and workers as people look at them: what waits, since when, and who is there to do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from headrace.jobs.states import State
from headrace.jobs.tables import COORDINATOR, Job, Worker, in_state
from headrace.jobs.workers import alive


@dataclass(frozen=True, kw_only=True)
class Queue:
    """``oldest_queued_s`` is how long the oldest job could have run, None where none could; ``workers``
    counts those alive that serve the queue."""

    name: str
    queued: int
    running: int
    oldest_queued_s: float | None
    workers: int


def queues(session: Session, project: str | None, *, now: datetime, alive_s: float) -> list[Queue]:
    """Return the queues that a live worker serves or where jobs of ``project`` are, by name.

    Counts are those of ``project``, of all projects where it is None: names of queues are given with jobs,
    so that a queue that only others use is none of a project's business.
    """
    served = Counter(name for worker in alive(session, now=now, within_s=alive_s) for name in worker.queues)
    queued = _jobs(session, project, State.QUEUED)
    running = _jobs(session, project, State.RUNNING)
    return [
        Queue(
            name=name,
            queued=queued[name][0] if name in queued else 0,
            running=running[name][0] if name in running else 0,
            oldest_queued_s=_age(queued[name][1], now) if name in queued else None,
            workers=served[name],
        )
        for name in sorted({*served, *queued, *running})
    ]


def _jobs(session: Session, project: str | None, state: State) -> dict[str, tuple[int, datetime]]:
    query = select(Job.queue, func.count(), func.min(Job.available_at))
    query = query.where(in_state(state), Job.lane != COORDINATOR)
    if project is not None:
        query = query.where(Job.project == project)
    return {queue: (count, since) for queue, count, since in session.execute(query.group_by(Job.queue))}


def _age(since: datetime, now: datetime) -> float:
    """A job that waits for its backoff could not have run yet."""
    return max(0.0, (now - since).total_seconds())


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """A worker: ``busy``, ``idle``, or ``lost`` when it has been silent; and a job that it runs."""

    worker: Worker
    state: str
    job: str | None


def describe(
    session: Session, workers: Sequence[Worker], project: str | None, *, now: datetime, alive_s: float
) -> list[WorkerState]:
    """Return each of ``workers`` with its state, and the newest of its jobs that is one of ``project``.

    None means any project. That a worker is busy is no secret, since it is why others wait; with what, is.
    """
    running = select(Job.worker, Job.id, Job.project).where(
        in_state(State.RUNNING), Job.worker.in_([worker.name for worker in workers])
    )
    found = session.execute(running.order_by(Job.started_at, Job.id)).all()
    busy = {worker for worker, _, _ in found}
    shown: Mapping[str | None, str] = {
        worker: job for worker, job, owner in found if project in (None, owner)
    }
    since = now - timedelta(seconds=alive_s)
    return [
        WorkerState(
            worker=worker,
            state="lost" if worker.last_seen_at < since else "busy" if worker.name in busy else "idle",
            job=shown.get(worker.name),
        )
        for worker in workers
    ]
