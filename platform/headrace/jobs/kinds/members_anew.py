"""Members of a stack that are trained anew, without a fold at a time: which of them can be, and how.

The folds are of the training rows that all of them have learned from, so that no row of the test, which is
the same for all and for the whole, is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.datasets.tables import DatasetVersion
from headrace.errors import FieldError
from headrace.jobs.kinds.base_version import BASE
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.algorithms import algorithm
from headrace.specs.jobs import TrainSpec

HELD_OUT = "held_out"
"""The file that a training without a fold leaves. ``held_out_<member>_<fold>``, numbers from 0, among the
inputs of what learns from it, and among the files of the version, so that this can be made again."""

FOLDS = ("spec", "params", "folds")


def folds(spec: TrainSpec) -> int | None:
    """Return in how many folds the members are trained anew that ``spec`` combines; None where none are."""
    chosen = algorithm(spec.algorithm, "spec", "algorithm")
    return chosen.params.model_validate(spec.params).folds_of_members()


def check(spec: TrainSpec, asked: int, versions: Sequence[ModelVersion]) -> list[FieldError]:
    """Return what is wrong with ``asked`` folds of the rows that ``versions`` have all learned from."""
    if spec.split.column is not None:
        msg = f"folds are drawn, but rows were divided by {spec.split.by}: should be null"
        return [FieldError(loc=FOLDS, msg=f"{msg}, to fit the stack on validation rows")]
    rows = min(version.lineage["rows"]["train"] for version in versions)
    smallest = min((version.lineage.get("smallest_class") or rows for version in versions), default=rows)
    if asked > smallest:
        which = f"the smallest class of {spec.target!r} has" if smallest < rows else "there are"
        msg = f"{which} {smallest} training rows: should be as many folds at most"
        return [FieldError(loc=FOLDS, msg=msg)]
    return []


def misfit(session: Session, version: ModelVersion, dataset: DatasetVersion) -> str | None:
    """Return why ``version`` cannot be trained anew on folds of ``dataset``, None where it can."""
    if version.dataset_version != dataset.id:
        other = f"{version.lineage['dataset']}@{version.lineage['dataset_version']}"
        return f"has learned from {other}; to be trained anew in folds it should have learned from these rows"
    if BASE in artifacts.attached(session, version.id):
        base = version.lineage["base"]
        return f"started from {base}, which may have learned from the rows of any fold: should have no base"
    return None


def trainings(session: Session, project: str, spec: TrainSpec) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each member that the resolved ``spec`` combines, with the spec of its training without each fold.

    Raises `Invalid` where it is there no more.
    """
    count = folds(spec)
    assert count is not None, "else nothing is trained anew"
    stratified = spec.task == "classification"
    for i, ref in enumerate(spec.params["models"]):
        _, version = registry.resolve(session, project, ref, "spec", "params", "models", i)
        learned = TrainSpec.model_validate(version.lineage["spec"])
        own = learned.model_copy(update={"model": spec.model, "dataset": spec.dataset, "slices": []})
        alone = own.model_dump(mode="json")
        fold = {"folds": count, "stratified": stratified, "rows": "training"}
        yield ref, [alone | {"fold": {**fold, "number": number}} for number in range(count)]


def held_out(session: Session, coordinator: str, models: Sequence[str]) -> dict[str, Stored]:
    """Return what the parts of ``coordinator`` have left, by the name of the input that it is.

    Raises `NotFound` where one of them has left nothing.
    """
    ended = select(Job).where(Job.parent == coordinator, Job.state == State.SUCCEEDED).order_by(Job.id)
    return {
        f"{HELD_OUT}_{models.index(figures['member'])}_{figures['fold'] - 1}": artifacts.artifact(
            session, part.id, HELD_OUT
        )
        for part in session.scalars(ended)
        if "member" in (figures := part.figures or {})
    }
