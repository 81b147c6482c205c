"""What coordinators share: how a part stands, and how what it has learned becomes a version."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.jobs.kinds import train
from headrace.jobs.kinds.members_anew import HELD_OUT
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.registry.tables import ModelVersion
from headrace.specs.jobs import TrainSpec


def problem(part: Job) -> str | None:
    """Return in a sentence why ``part`` has not done what it should, None where it has or still may."""
    if part.state not in (State.FAILED, State.CANCELLED):
        return None
    error = part.error or {}
    return f"{part.part} ({part.id}) has {part.state}: {error.get('message')}"[:4000]


def register(session: Session, job: Job, part: Job, now: datetime) -> ModelVersion:
    """Register what ``part``, a train job that has succeeded, has learned, as the one effect of ``job``."""
    spec = TrainSpec.model_validate(part.spec)
    files = artifacts.attached(session, part.id)
    return train.register(session, job, spec, part.result or {}, files, now)


def release(session: Session, part: Job) -> None:
    """Record that what ``part`` has learned is not needed any more; its evaluation stays to be looked at."""
    artifacts.detach(session, part.id, "package", HELD_OUT)
