"""Ingest: an uploaded file becomes a typed table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.datasets import service as datasets
from headrace.jobs.kinds import Lane, Preparation, Resolved
from headrace.jobs.tables import Job
from headrace.specs.base import Column
from headrace.specs.jobs import IngestSpec
from headrace.specs.task import Done

Spec = IngestSpec
LANE: Lane = "light"
RESULT = ("dataset", "version", "rows")


def resolve(session: Session, project: str, spec: IngestSpec) -> Resolved:
    """Return ``spec`` as it is: the upload has made it."""
    return Resolved(spec=spec, dataset=spec.dataset)


def prepare(session: Session, job: Job) -> Preparation:
    """Give the job process the uploaded file."""
    version = datasets.version_of_job(session, job.id)
    source = artifacts.artifact(session, version.id, "source")
    return Preparation(runtime="plain", inputs={"source": source.digest})


def commit(
    session: Session, job: Job, done: Done, files: Mapping[str, Stored], now: datetime
) -> dict[str, Any]:
    """Make the dataset version ready."""
    version = datasets.version_of_job(session, job.id)
    columns = [Column.model_validate(column) for column in done.result["columns"]]
    version.rows = done.result["rows"]
    version.distinct_times = done.result.get("distinct_times")
    version.columns = [column.model_dump() for column in columns]
    artifacts.attach(session, project=job.project, owner=version.id, files=files, now=now)
    return {"dataset": job.spec["dataset"], "version": version.version, "rows": version.rows}
