"""Evaluate: a version of a model is measured on a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.jobs.kinds import Lane, Preparation, Resolved, slices
from headrace.jobs.kinds.model_on_dataset import (
    columns_of,
    prepare_model_on_dataset,
    resolve_model_on_dataset,
    task_of,
)
from headrace.jobs.tables import Job
from headrace.specs.jobs import EvaluateSpec
from headrace.specs.task import Done

Spec = EvaluateSpec
LANE: Lane = "heavy"
RESULT = ("metrics",)


def resolve(session: Session, project: str, spec: EvaluateSpec) -> Resolved:
    """Pin both refs and check that the dataset has the features, the target and the slices."""
    resolved = resolve_model_on_dataset(session, project, spec, with_target=True)
    pinned = resolved.spec
    assert isinstance(pinned, EvaluateSpec)
    slices.check(
        pinned.slices, columns_of(session, project, pinned.dataset), task_of(session, project, pinned.model)
    )
    return resolved


def prepare(session: Session, job: Job) -> Preparation:
    """Give the job process the package and the table."""
    return prepare_model_on_dataset(session, job, EvaluateSpec.model_validate(job.spec))


def commit(
    session: Session, job: Job, done: Done, files: Mapping[str, Stored], now: datetime
) -> dict[str, Any]:
    """Keep the evaluation with the job."""
    artifacts.attach(session, project=job.project, owner=job.id, files=files, now=now)
    return {"metrics": done.result["metrics"]}
