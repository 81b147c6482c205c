"""Jobs and what hangs on them. The schema repeats the invariants of the state machine as CHECKs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, ForeignKey, Index, and_, literal, text
from sqlalchemy.orm import Mapped, mapped_column

from headrace.db import Base
from headrace.jobs.states import FINAL, State


def _in(states: frozenset[State]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))


_QUEUED = text("state = 'queued'")
_RUNNING = text("state = 'running'")
_WAITING = text("state = 'waiting'")
_COORDINATES = text("lane = 'coordinator' AND finished_at IS NULL")
_HAS_PARENT = text("parent IS NOT NULL")
_PRUNABLE = text("pruned_at IS NULL AND finished_at IS NOT NULL")

COORDINATOR = "coordinator"
"""The lane of jobs whose work is other jobs. No slot claims from it."""


class Job(Base):
    """One job. Only `headrace.jobs.transitions` writes ``state`` and the columns that go with it.

    ``parent`` is the coordinator whose work this job is part of, ``part`` says which part, and ``figures``
    what the parent keeps of it.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state IN ({_in(frozenset(State))})", name="state"),
        CheckConstraint(f"(finished_at IS NOT NULL) = (state IN ({_in(FINAL)}))", name="finished"),
        CheckConstraint("(lease_token IS NOT NULL) = (state = 'running')", name="leased"),
        CheckConstraint("(lease_expires_at IS NOT NULL) = (state = 'running')", name="lease_ends"),
        CheckConstraint("(result IS NOT NULL) = (state = 'succeeded')", name="result"),
        CheckConstraint("(error IS NOT NULL) = (state IN ('failed', 'cancelled'))", name="error"),
        CheckConstraint("state <> 'succeeded' OR NOT cancel_requested", name="cancelled_never_succeeds"),
        CheckConstraint("failures BETWEEN 0 AND max_attempts AND failures <= attempt", name="failures"),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
        Index(
            "ix_jobs_claim",
            "project",
            "lane",
            "queue",
            text("priority DESC"),
            "id",
            "available_at",
            postgresql_where=_QUEUED,
            sqlite_where=_QUEUED,
        ),
        Index("ix_jobs_running", "project", postgresql_where=_RUNNING, sqlite_where=_RUNNING),
        # The state leads although it is the same in every entry: without it SQLite, which has no statistics,
        # goes through the primary key. No index has lease_expires_at, or every heartbeat would write to all.
        Index("ix_jobs_lease", "state", "id", postgresql_where=_RUNNING, sqlite_where=_RUNNING),
        Index("ix_jobs_waiting", "state", "id", postgresql_where=_WAITING, sqlite_where=_WAITING),
        Index("ix_jobs_coordinators", "lane", "id", postgresql_where=_COORDINATES, sqlite_where=_COORDINATES),
        # One effect: no part of a coordinator's work is done twice, whoever advances it.
        Index(
            "uq_jobs_part",
            "parent",
            "part",
            unique=True,
            postgresql_where=_HAS_PARENT,
            sqlite_where=_HAS_PARENT,
        ),
        Index(
            "ix_jobs_list_parent",
            "project",
            "parent",
            "id",
            postgresql_where=_HAS_PARENT,
            sqlite_where=_HAS_PARENT,
        ),
        Index("ix_jobs_prune", "finished_at", postgresql_where=_PRUNABLE, sqlite_where=_PRUNABLE),
        Index("ix_jobs_list", "project", "id"),
        Index("ix_jobs_list_state", "project", "state", "id"),
        Index("ix_jobs_list_kind", "project", "kind", "id"),
        Index("ix_jobs_list_queue", "project", "queue", "id"),
        Index("ix_jobs_list_model", "project", "model", "id"),
        Index("ix_jobs_list_dataset", "project", "dataset", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    kind: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    priority: Mapped[int]
    queue: Mapped[str]
    lane: Mapped[str]
    spec: Mapped[dict[str, Any]]
    tags: Mapped[dict[str, Any]]
    depends_on: Mapped[list[Any]]
    model: Mapped[str | None]
    dataset: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    timeout_s: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]
    available_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    worker: Mapped[str | None]
    lease_token: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    fraction: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(default="")
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    retry_of: Mapped[str | None]
    parent: Mapped[str | None]
    part: Mapped[str | None]
    figures: Mapped[dict[str, Any] | None]
    request_id: Mapped[str | None]
    traceparent: Mapped[str | None]
    event_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    pruned_at: Mapped[datetime | None]


def in_state(state: State) -> ColumnElement[bool]:
    """Return the condition that a job is in ``state``, written so that the index of those jobs is used.

    With the state as a parameter the plan would have to serve any state.
    """
    return Job.state == literal(state.value, literal_execute=True)


def coordinates() -> ColumnElement[bool]:
    """Return the condition that a job is a coordinator that has not ended, written as `in_state` is."""
    return and_(Job.lane == literal(COORDINATOR, literal_execute=True), Job.finished_at.is_(None))


def holds_slot() -> ColumnElement[bool]:
    """Return the condition that a job runs in a slot of a worker: a coordinator runs in none."""
    return and_(in_state(State.RUNNING), Job.lane != COORDINATOR)


class JobTag(Base):
    """One tag of a job, for finding jobs by it."""

    __tablename__ = "job_tags"
    __table_args__ = (Index("ix_job_tags_find", "project", "key", "value", "job"),)

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str]
    value: Mapped[str]


class JobEvent(Base):
    """Something that happened to a job; numbered per job without gaps.

    ``type`` and ``data``: ``state`` {state, …}, ``progress`` {fraction, message}, ``metric`` {name, step,
    value}, ``log`` {text}.
    """

    __tablename__ = "job_events"
    __table_args__ = (
        CheckConstraint("type IN ('state', 'progress', 'metric', 'log')", name="type"),
        Index("ix_job_events_type", "job", "type", "attempt", "seq"),
    )

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    attempt: Mapped[int]
    type: Mapped[str]
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class JobCost(Base):
    """What one attempt of a job has used, as `headrace.jobs.costs` says; written by who holds its lease.

    While the attempt runs, ``ended_at`` is null and the rest is what was known at ``seen_at``.
    ``energy_source`` is ``rapl`` (measured) or ``estimate``, null while nothing is known.
    """

    __tablename__ = "job_costs"
    __table_args__ = (CheckConstraint("energy_source IN ('rapl', 'estimate')", name="energy_source"),)

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    cpu_s: Mapped[float] = mapped_column(default=0.0)
    peak_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    energy_j: Mapped[float] = mapped_column(default=0.0)
    energy_source: Mapped[str | None]


class CostDay(Base):
    """What the attempts that ended on one day (UTC) have used, summed for a project, a model or a schedule.

    ``by`` says which of them ``name`` is. ``estimates`` counts the attempts whose energy was not measured.
    """

    __tablename__ = "cost_days"
    __table_args__ = (CheckConstraint("\"by\" IN ('project', 'model', 'schedule')", name="by"),)

    by: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    attempts: Mapped[int] = mapped_column(BigInteger)
    estimates: Mapped[int] = mapped_column(BigInteger)
    wall_s: Mapped[float]
    cpu_s: Mapped[float]
    peak_bytes: Mapped[int] = mapped_column(BigInteger)
    energy_j: Mapped[float]


class Worker(Base):
    """A worker process and when it last wrote."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    queues: Mapped[list[Any]]
    slots: Mapped[int]
    version: Mapped[str]
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime] = mapped_column(index=True)
