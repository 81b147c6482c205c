"""Reproduce: a version is trained again from its lineage, and what came out is compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.datasets.tables import DatasetVersion
from headrace.errors import Invalid
from headrace.jobs.kinds import Lane, Preparation, Resolved, base_version, member_versions
from headrace.jobs.kinds.train import prepare_training
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.algorithms import algorithm
from headrace.specs.jobs import ReproduceSpec, TrainSpec
from headrace.specs.task import Done

Spec = ReproduceSpec
LANE: Lane = "heavy"
RESULT = (
    "identical",
    "weights_digest",
    "expected_weights_digest",
    "differences",
    "arrays",
    "differing_arrays",
)


def resolve(session: Session, project: str, spec: ReproduceSpec) -> Resolved:
    """Pin the version, and check that what it was made of is still there."""
    ref, version = registry.resolve(session, project, spec.model, "spec", "model")
    algorithm(version.algorithm, "spec", "model")
    _dataset(session, version)
    dataset = str(version.lineage["dataset"])
    return Resolved(spec=spec.model_copy(update={"model": str(ref)}), model=ref.name, dataset=dataset)


def prepare(session: Session, job: Job) -> Preparation:
    """Give the job process what the train job was given, and the version's package to compare with."""
    spec = ReproduceSpec.model_validate(job.spec)
    _, version = registry.resolve(session, job.project, spec.model, "spec", "model")
    training = TrainSpec.model_validate(version.lineage["spec"])
    kept = {**base_version.kept(session, version), **member_versions.kept(session, version)}
    dataset = version.lineage["dataset"]
    preparation = prepare_training(session, training, dataset, _dataset(session, version), kept)
    package = artifacts.artifact(session, version.id, "package").digest
    return replace(
        preparation,
        inputs={**preparation.inputs, "package": package},
        spec=training.model_dump(mode="json"),
    )


def commit(
    session: Session, job: Job, done: Done, files: Mapping[str, Stored], now: datetime
) -> dict[str, Any]:
    """Keep the verdict with the version."""
    spec = ReproduceSpec.model_validate(job.spec)
    _, version = registry.resolve(session, job.project, spec.model, "spec", "model")
    verdict = {name: done.result[name] for name in RESULT}
    registry.record_reproduction(session, version, verdict, job=job, now=now)
    return verdict


def _dataset(session: Session, version: ModelVersion) -> DatasetVersion:
    found = version.dataset_version and session.get(DatasetVersion, version.dataset_version)
    if not found:
        msg = "the dataset version that it learned from has been deleted, so it cannot be made again"
        raise Invalid.field("spec", "model", msg=msg)
    return found
