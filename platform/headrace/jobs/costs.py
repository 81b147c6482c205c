"""What jobs cost: time, processor, memory and energy, attempt by attempt, and sums of it.

An attempt's row begins with its claim, follows each heartbeat, and is closed by whatever ends the attempt, in
the same transaction: so a failed or cancelled attempt has one too, and one whose worker was lost has what was
known at the last heartbeat. How exact each figure is:

- ``wall_s``: from the claim to the end, by the database's clock; of a lost attempt to its last heartbeat.
- ``cpu_s``: user and system time. Of a process that ended by itself or was killed by its worker the kernel's
  account of it and of the children it has waited for, exact; else what its process group had used when its
  worker last looked, at most ``renew_s`` before the end.
- ``peak_bytes``: the largest resident size of the process, exact, or of the group as it was seen at
  heartbeats, whichever is more. Pages shared with the fork server count.
- ``energy_j``: with ``rapl``, the share of the processor packages' own counters that the job had of all busy
  processor time; with ``estimate``, processor time times the setting ``watts_per_core``. Without mains
  losses, memory, disks and cooling.

The cost of a coordinator is that of its parts, which also pay for its model and its schedule.
`CostDay` adds attempts up as they end, by day (UTC), project, model and schedule, so that totals read as many
rows as there are names and days, however many jobs there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from sqlalchemy import Select, case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from headrace.db import is_postgresql
from headrace.jobs.tables import CostDay, Job, JobCost
from headrace.paging import Page
from headrace.schedules.tables import ScheduleRun

By = Literal["project", "model", "schedule"]
EnergySource = Literal["rapl", "estimate"]
_ADDED = ("attempts", "estimates", "wall_s", "cpu_s", "energy_j")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an attempt has used up to now."""

    cpu_s: float
    peak_bytes: int
    energy_j: float
    energy_source: EnergySource


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some attempts have used together; ``peak_bytes`` is the most of one.

    ``energy_source`` is ``rapl`` only where all of it was measured, None where nothing is known.
    """

    attempts: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    energy_j: float
    energy_source: EnergySource | None


@dataclass(frozen=True, kw_only=True)
class Total:
    """The cost of one project, model (its name) or schedule (its id)."""

    project: str
    name: str
    cost: Cost


def begin(session: Session, job: Job, now: datetime) -> None:
    """Open the account of the attempt that ``job`` has just begun."""
    session.add(JobCost(job=job.id, attempt=job.attempt, started_at=now, seen_at=now))


def note(session: Session, job: Job, used: Usage | None, now: datetime) -> None:
    """Write down that the running attempt is alive and, where that is known, what it has ``used``."""
    account = session.get(JobCost, (job.id, job.attempt))
    if account is None:  # begun by an older version
        return
    account.seen_at = now
    if used is not None:
        account.cpu_s, account.peak_bytes = used.cpu_s, used.peak_bytes
        account.energy_j, account.energy_source = used.energy_j, used.energy_source


def end(session: Session, job: Job, now: datetime | None) -> None:
    """Close the account of the attempt and add it to the sums; once. ``now`` is None where it was lost."""
    account = session.get(JobCost, (job.id, job.attempt))
    if account is None or account.ended_at is not None:
        return
    account.ended_at = account.seen_at if now is None else now
    day = account.ended_at.astimezone(UTC).date().isoformat()
    added = {
        "attempts": 1,
        "estimates": int(account.energy_source == "estimate"),
        "wall_s": (account.ended_at - account.started_at).total_seconds(),
        "cpu_s": account.cpu_s,
        "peak_bytes": account.peak_bytes,
        "energy_j": account.energy_j,
    }
    payer = _payer(session, job)
    names = {"model": payer.model or job.model, "project": job.project, "schedule": _schedule(session, payer)}
    rows = [
        {"by": by, "project": job.project, "name": name, "day": day, **added}
        for by, name in names.items()  # always in this order, so that no two transactions wait for each other
        if name is not None
    ]
    insert = postgresql.insert(CostDay) if is_postgresql(session) else sqlite.insert(CostDay)
    new = insert.excluded
    most = case((CostDay.peak_bytes > new.peak_bytes, CostDay.peak_bytes), else_=new.peak_bytes)
    session.execute(
        insert.values(rows).on_conflict_do_update(
            index_elements=["by", "project", "name", "day"],
            set_={name: getattr(CostDay, name) + new[name] for name in _ADDED} | {"peak_bytes": most},
        )
    )


def of(session: Session, jobs: Sequence[str]) -> dict[str, Cost]:
    """Return what each of ``jobs`` has cost up to now: all its attempts, or those of its parts.

    One that never ran is left out.
    """
    parts: dict[str, list[str]] = {}
    level, known = list(jobs), set(jobs)
    while level:
        found = session.execute(select(Job.parent, Job.id).where(Job.parent.in_(level))).all()
        for parent, part in found:
            parts.setdefault(str(parent), []).append(part)
        level = [part for _, part in found if part not in known]
        known.update(level)
    accounts: dict[str, list[JobCost]] = {}
    for account in session.scalars(select(JobCost).where(JobCost.job.in_(known))):
        accounts.setdefault(account.job, []).append(account)

    def spent(job: str) -> list[JobCost]:
        return [*accounts.get(job, ()), *(each for part in parts.get(job, ()) for each in spent(part))]

    return {job: _together(own) for job in jobs if (own := spent(job))}


def totals(
    session: Session,
    project: str | None,
    by: By,
    *,
    first: date | None = None,
    last: date | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page[Total]:
    """Return one page of totals over the days from ``first`` to ``last``, both included, ordered by name.

    ``project`` is None for all of them, which only totals by project have.
    """
    query = _sums().where(CostDay.by == by)
    order = CostDay.project if project is None else CostDay.name
    if project is not None:
        query = query.where(CostDay.project == project)
    if first is not None:
        query = query.where(CostDay.day >= first.isoformat())
    if last is not None:
        query = query.where(CostDay.day <= last.isoformat())
    if cursor is not None:
        query = query.where(order > cursor)
    query = query.group_by(CostDay.by, CostDay.project, CostDay.name).order_by(order).limit(limit + 1)
    rows = [_total(row) for row in session.execute(query)]
    return Page(rows[:limit], rows[limit - 1].name if len(rows) > limit else None)


def overall(session: Session) -> Cost:
    """Return the cost of everything."""
    sums: list[Any] = [func.coalesce(func.sum(getattr(CostDay, name)), 0) for name in _ADDED]
    query = select(*sums, func.coalesce(func.max(CostDay.peak_bytes), 0)).where(CostDay.by == "project")
    figures: Sequence[Any] = session.execute(query).one()
    return _cost(*figures)


def _sums() -> Select[Any]:
    added = [func.sum(getattr(CostDay, name)) for name in _ADDED]
    return select(CostDay.project, CostDay.name, *added, func.max(CostDay.peak_bytes))


def _total(row: Sequence[Any]) -> Total:
    project, name, *figures = row
    return Total(project=project, name=name, cost=_cost(*figures))


def _cost(attempts: Any, estimates: Any, wall_s: Any, cpu_s: Any, energy_j: Any, peak_bytes: Any) -> Cost:
    source: EnergySource | None = "estimate" if estimates else "rapl" if energy_j else None
    return Cost(
        attempts=int(attempts),
        wall_s=float(wall_s),
        cpu_s=float(cpu_s),
        peak_bytes=int(peak_bytes),
        energy_j=float(energy_j),
        energy_source=source,
    )


def _together(accounts: Sequence[JobCost]) -> Cost:
    return _cost(
        len(accounts),
        sum(account.energy_source == "estimate" for account in accounts),
        sum(((each.ended_at or each.seen_at) - each.started_at).total_seconds() for each in accounts),
        sum(account.cpu_s for account in accounts),
        sum(account.energy_j for account in accounts),
        max(account.peak_bytes for account in accounts),
    )


def _payer(session: Session, job: Job) -> Job:
    """Return the job whose work ``job`` is part of, in the end; itself where it is no part."""
    while job.parent is not None:
        job = session.get_one(Job, job.parent)
    return job


def _schedule(session: Session, job: Job) -> str | None:
    return session.scalar(select(ScheduleRun.schedule).where(ScheduleRun.job == job.id))
