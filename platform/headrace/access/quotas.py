"""What a project may use: jobs that run, jobs that are queued, bytes that are stored.

Running jobs are limited where they are claimed (`headrace.jobs.claims`); the others here, by functions that
want the project's row locked, so that two requests at once cannot both take the last place. What is stored
is the sum over the project's artifacts, each counted for everything that needs it: what two versions share
counts twice, since deleting one of them frees nothing of the other. Outputs of jobs count too, but are never
refused: it is the next upload that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from headrace.access.tables import Project
from headrace.artifacts.tables import Artifact
from headrace.errors import Limited
from headrace.jobs.states import State
from headrace.jobs.tables import Job, holds_slot

QUEUED_RETRY_S = 30
STORED_RETRY_S = 300
_PENDING = (State.QUEUED, State.WAITING)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a project uses now; ``queued`` counts waiting jobs too."""

    running: int = 0
    queued: int = 0
    stored_bytes: int = 0


def usage(session: Session, projects: Iterable[str]) -> dict[str, Usage]:
    """Return what each of ``projects`` uses."""
    names = list(projects)
    running = _count(session, names, State.RUNNING)
    queued = _count(session, names, State.QUEUED)
    waiting = _count(session, names, State.WAITING)
    total = func.sum(Artifact.size_bytes)
    query = select(Artifact.project, total).where(Artifact.project.in_(names)).group_by(Artifact.project)
    stored = {project: int(size) for project, size in session.execute(query)}
    return {
        name: Usage(
            running=running.get(name, 0),
            queued=queued.get(name, 0) + waiting.get(name, 0),
            stored_bytes=stored.get(name, 0),
        )
        for name in names
    }


def check_queued(session: Session, project: Project) -> None:
    """Raise `Limited` where ``project``, whose row the caller has locked, may queue no further job."""
    if project.max_queued is None:
        return
    queued = session.scalar(select(func.count()).where(Job.project == project.name, Job.state.in_(_PENDING)))
    if (queued or 0) >= project.max_queued:
        raise Limited(
            f"{queued} jobs are queued, and this project may have {project.max_queued}; "
            "try again when some have run, or cancel some",
            retry_after_s=QUEUED_RETRY_S,
        )


def check_stored(session: Session, project: Project, more_bytes: int) -> None:
    """Raise `Limited` where ``project`` may not store ``more_bytes`` more.

    Exact where the caller has locked its row; without, a first look that spares a long upload.
    """
    if project.max_stored_bytes is None:
        return
    query = select(func.sum(Artifact.size_bytes)).where(Artifact.project == project.name)
    stored = int(session.scalar(query) or 0)
    if stored + more_bytes > project.max_stored_bytes:
        raise Limited(
            f"{more_bytes} bytes more would make {stored + more_bytes}, and this project may store "
            f"{project.max_stored_bytes}; delete versions, or ask for a larger quota",
            retry_after_s=STORED_RETRY_S,
        )


def _count(session: Session, projects: list[str], state: State) -> dict[str, int]:
    query = select(Job.project, func.count()).where(Job.state == state, Job.project.in_(projects))
    if state == State.RUNNING:
        query = query.where(holds_slot())
    return dict(session.execute(query.group_by(Job.project)).all())
