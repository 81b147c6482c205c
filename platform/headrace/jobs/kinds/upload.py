"""Upload: a ``.keras`` file becomes a version that training can start from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace import __version__
from headrace.artifacts.store import Stored
from headrace.jobs.kinds import Lane, Preparation, Resolved
from headrace.jobs.tables import Job
from headrace.registry import uploads
from headrace.specs.jobs import UploadSpec
from headrace.specs.task import Done

Spec = UploadSpec
LANE: Lane = "heavy"
RESULT = ("model", "version", "parameters")


def resolve(session: Session, project: str, spec: UploadSpec) -> Resolved:
    """Return ``spec`` as it is: the upload has made it."""
    return Resolved(spec=spec, model=spec.model)


def prepare(session: Session, job: Job) -> Preparation:
    """Give the job process the uploaded file."""
    return Preparation(runtime="tensorflow", inputs={uploads.SOURCE: job.spec["digest"]})


def commit(
    session: Session, job: Job, done: Done, files: Mapping[str, Stored], now: datetime
) -> dict[str, Any]:
    """Register the version."""
    read = {**done.result, "environment": {"headrace": __version__, **done.result["environment"]}}
    version = uploads.add_backbone(session, job, read, files["package"], now)
    return {
        "model": job.spec["model"],
        "version": version.version,
        "parameters": done.result["parameters"],
    }
