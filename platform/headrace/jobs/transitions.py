"""Every change of a job's state: one function each. Nothing else writes ``jobs.state``.

`headrace.jobs` holds the table of them. Functions that act for a worker take a `Lease` and are fenced; the
others lock the job's row themselves.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from headrace import dispatch, origin
from headrace.access import audit
from headrace.errors import Conflict, NotFound
from headrace.jobs import checkpoints, costs, events
from headrace.jobs.leases import Lease, hold
from headrace.jobs.states import FINAL, NEXT, State
from headrace.jobs.tables import COORDINATOR, Job, JobTag

NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long a job waits after its n-th failure: ``base_s`` doubling to ``max_s``, ± half at random."""

    base_s: float = 1.0
    max_s: float = 60.0

    def delay(self, failures: int) -> timedelta:
        """Return the wait after ``failures`` failures."""
        longest = min(self.max_s, self.base_s * 2 ** min(failures - 1, 30))
        return timedelta(seconds=longest * random.uniform(0.5, 1.0))


def create(session: Session, job: Job, *, waiting: bool, now: datetime) -> Job:
    """Add ``job``, new, as waiting or queued."""
    job.state = State.WAITING if waiting else State.QUEUED
    job.created_at = job.available_at = now
    job.request_id, job.traceparent = origin.current().request_id, origin.current().traceparent
    session.add(job)
    session.add_all(
        JobTag(job=job.id, key=key, project=job.project, value=value) for key, value in job.tags.items()
    )
    session.flush()
    _record(session, job, now)
    if not waiting:
        dispatch.ticket(session, job.queue, job.id)
    return job


def queue(session: Session, job: Job, *, spec: dict[str, Any], now: datetime) -> None:
    """Queue a waiting job, whose row the caller has locked, with its spec now resolved."""
    job.spec = spec
    job.available_at = now
    _move(session, job, State.QUEUED, now)
    dispatch.ticket(session, job.queue, job.id)


def give_up(session: Session, job: Job, *, error: dict[str, Any], now: datetime) -> None:
    """Fail a waiting job, whose row the caller has locked: its spec cannot be resolved."""
    _end(session, job, State.FAILED, error, now)


def start(session: Session, job: Job, *, worker: str, now: datetime, lease_s: float) -> Lease:
    """Give a queued job, which the caller has locked, to ``worker``."""
    job.attempt += 1
    job.worker = worker
    job.started_at = job.started_at or now
    job.lease_token = secrets.token_hex(16)
    job.lease_expires_at = now + timedelta(seconds=lease_s)
    job.fraction, job.message = 0.0, ""
    _move(session, job, State.RUNNING, now, worker=worker)
    costs.begin(session, job, now)
    return Lease(job=job.id, attempt=job.attempt, token=job.lease_token)


def begin(session: Session, job: Job, *, now: datetime) -> None:
    """Let a queued coordinator, whose row the caller has locked, begin. Its lease never ends."""
    job.attempt += 1
    job.started_at = job.started_at or now
    job.lease_token = secrets.token_hex(16)
    job.lease_expires_at = NEVER
    _move(session, job, State.RUNNING, now)


def succeed(session: Session, lease: Lease, *, result: dict[str, Any], now: datetime) -> None:
    """End the job well. Raises `LeaseLost`, or `Conflict` if cancelling was asked for meanwhile."""
    job = hold(session, lease)
    if job.cancel_requested:
        raise Conflict(f"{job.id} is being cancelled")
    checkpoints.release(session, job.id)
    complete(session, job, result=result, now=now)


def complete(session: Session, job: Job, *, result: dict[str, Any], now: datetime) -> None:
    """End a running job, whose row the caller has locked, well."""
    job.result = result
    job.fraction, job.message = 1.0, ""
    _finish(job, now)
    _move(session, job, State.SUCCEEDED, now, result=result)


def break_off(session: Session, job: Job, *, type: str, message: str, now: datetime) -> None:
    """Fail a coordinator, whose row the caller has locked; what is left of its work is cancelled."""
    job.failures += 1
    _end(session, job, State.FAILED, _error(job, type, message, False), now)


def fail(
    session: Session,
    lease: Lease,
    *,
    type: str,
    message: str,
    retryable: bool,
    now: datetime,
    backoff: Backoff,
) -> None:
    """Record a failed attempt: queue the job again if a retry may help and failures are left, else end it."""
    _failed(session, hold(session, lease), type, message, retryable, now, backoff)


def lose(session: Session, job: Job, *, now: datetime, backoff: Backoff) -> None:
    """Take a running job, whose row the caller has locked, from a worker that let its lease expire."""
    costs.end(session, job, None)
    message = f"worker lost: {job.worker} stopped renewing its lease"
    _failed(session, job, "WorkerLost", message, True, now, backoff)


def hand_back(session: Session, lease: Lease, *, now: datetime) -> None:
    """Queue the job again at once, at a clean shutdown of its worker. No failure is counted."""
    job = hold(session, lease)
    if job.cancel_requested:
        _end_cancelled(session, job, now)
    else:
        _requeue(session, job, now, now, reason="handed back")


def request_cancel(session: Session, project: str, job_id: str, now: datetime) -> Job:
    """Cancel a job that no worker runs at once, with all its parts; ask the worker of one that does.

    Raises `NotFound`, or `Conflict` for a job in a final state.
    """
    job = session.scalar(
        select(Job)
        .where(Job.project == project, Job.id == job_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is None:
        raise NotFound(f"there is no job {job_id[:100]!r}")
    if State(job.state) in FINAL:
        raise Conflict(f"{job.id} has {job.state} already")
    audit.record(session, "job.cancel", project=project, object=job.id, now=now)
    stop(session, job, now=now)
    return job


def stop(session: Session, job: Job, *, now: datetime) -> None:
    """Do what `request_cancel` does, to a job that has not ended and whose row the caller has locked."""
    job.cancel_requested = True
    if job.state != State.RUNNING or job.lane == COORDINATOR:
        _end_cancelled(session, job, now)
    else:
        session.flush()


def cancel(session: Session, lease: Lease, *, now: datetime) -> None:
    """End a running job whose process has been killed because cancelling was asked for."""
    _end_cancelled(session, hold(session, lease), now)


def cancel_dependent(session: Session, job: Job, *, dependency: Job, now: datetime) -> None:
    """End a waiting job, whose row the caller has locked, because ``dependency`` did not succeed."""
    error = _error(
        job, "DependencyFailed", f"{dependency.id}, on which it depends, has {dependency.state}", False
    )
    _end(session, job, State.CANCELLED, error, now)


def _failed(
    session: Session, job: Job, type: str, message: str, retryable: bool, now: datetime, backoff: Backoff
) -> None:
    if job.cancel_requested:
        _end_cancelled(session, job, now)
        return
    job.failures += 1
    error = _error(job, type, message, retryable)
    if retryable and job.failures < job.max_attempts:
        _requeue(session, job, now, now + backoff.delay(job.failures), reason=message, error=error)
    else:
        _end(session, job, State.FAILED, error, now)


def _requeue(session: Session, job: Job, now: datetime, available_at: datetime, **details: Any) -> None:
    job.available_at = available_at
    job.lease_token = job.lease_expires_at = job.worker = None
    job.fraction, job.message = 0.0, ""
    _move(session, job, State.QUEUED, now, **details)
    if available_at <= now:
        dispatch.ticket(session, job.queue, job.id)


def _end_cancelled(session: Session, job: Job, now: datetime) -> None:
    _end(session, job, State.CANCELLED, _error(job, "Cancelled", "cancelled on request", False), now)


def _end(session: Session, job: Job, state: State, error: dict[str, Any], now: datetime) -> None:
    job.error = error
    _finish(job, now)
    _move(session, job, state, now, error=error)
    if job.lane == COORDINATOR:
        _stop_parts(session, job, now)


def _stop_parts(session: Session, job: Job, now: datetime) -> None:
    """Cancel what is left of the work of a coordinator. Rows are locked from parents to children, always."""
    left = select(Job).where(Job.parent == job.id, Job.finished_at.is_(None)).order_by(Job.id)
    for part in session.scalars(left.with_for_update().execution_options(populate_existing=True)):
        stop(session, part, now=now)


def _finish(job: Job, now: datetime) -> None:
    job.finished_at = now
    job.lease_token = job.lease_expires_at = None


def _error(job: Job, type: str, message: str, retryable: bool) -> dict[str, Any]:
    return {"type": type, "message": message, "attempt": job.attempt, "retryable": retryable}


def _move(session: Session, job: Job, to: State, now: datetime, **details: Any) -> None:
    if to not in NEXT[State(job.state)]:
        raise Conflict(f"{job.id} is {job.state} and cannot become {to}")
    ran = job.state == State.RUNNING
    job.state = to
    _record(session, job, now, **details)
    session.flush()
    if ran:
        costs.end(session, job, now)


def _record(session: Session, job: Job, now: datetime, **details: Any) -> None:
    events.append(
        session, job, [events.Event("state", {"state": job.state, "attempt": job.attempt, **details})], now
    )
