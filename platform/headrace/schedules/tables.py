"""Schedules and what became of each of their due times."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from headrace.db import Base


class Schedule(Base):
    """A job template and when to submit it: ``cron`` on the clock of ``timezone``, or ``every_s``.

    ``job`` is the template as it was written. ``anchor`` is what an interval counts from. ``next_due_at`` is
    the first due time without a row, null for a schedule that is paused or never due again. ``revision``
    counts the changes that people make.
    """

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint("(cron IS NULL) <> (every_s IS NULL)", name="rule"),
        CheckConstraint("every_s >= 1", name="every"),
        CheckConstraint("catch_up IN ('none', 'latest', 'all')", name="catch_up"),
        CheckConstraint("overlap IN ('skip', 'queue')", name="overlap"),
        CheckConstraint("enabled OR next_due_at IS NULL", name="paused"),
        Index("ix_schedules_list", "project", "id"),
        Index(
            "ix_schedules_due",
            "next_due_at",
            postgresql_where=text("next_due_at IS NOT NULL"),
            sqlite_where=text("next_due_at IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    name: Mapped[str]
    cron: Mapped[str | None]
    timezone: Mapped[str]
    every_s: Mapped[int | None]
    anchor: Mapped[datetime]
    job: Mapped[dict[str, Any]]
    catch_up: Mapped[str]
    overlap: Mapped[str]
    enabled: Mapped[bool]
    next_due_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]


class ScheduleRun(Base):
    """What became of one due time; or one job that a person triggered, due when they did so.

    ``job`` is there where one was submitted, ``reason`` says why in all other cases.
    """

    __tablename__ = "schedule_runs"
    __table_args__ = (
        UniqueConstraint("schedule", "due_at"),
        UniqueConstraint("job"),
        CheckConstraint("outcome IN ('submitted', 'skipped', 'missed', 'failed')", name="outcome"),
        CheckConstraint("(job IS NOT NULL) = (outcome = 'submitted')", name="submitted"),
        Index("ix_schedule_runs_list", "schedule", "id"),
        Index(
            "ix_schedule_runs_jobs",
            "schedule",
            "id",
            postgresql_where=text("job IS NOT NULL"),
            sqlite_where=text("job IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    schedule: Mapped[str] = mapped_column(ForeignKey("schedules.id"))
    due_at: Mapped[datetime]
    fired_at: Mapped[datetime]
    outcome: Mapped[str]
    job: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    reason: Mapped[str | None]
    triggered_by: Mapped[str | None]
