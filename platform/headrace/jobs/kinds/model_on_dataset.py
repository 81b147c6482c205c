"""What the kinds share that apply a version of a model to a version of a dataset."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.datasets import service as datasets
from headrace.errors import Invalid
from headrace.jobs.kinds import Preparation, Resolved
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.algorithms import algorithm
from headrace.specs.base import Column, ColumnType, TaskType
from headrace.specs.jobs import EvaluateSpec, ExplainSpec, PredictSpec

ModelOnDataset = EvaluateSpec | PredictSpec | ExplainSpec
_NUMBERS: tuple[ColumnType, ...] = ("number", "integer")
_STRINGS: tuple[ColumnType, ...] = ("category", "text")
_SAME: dict[ColumnType, tuple[ColumnType, ...]] = {
    **dict.fromkeys(_NUMBERS, _NUMBERS),
    **dict.fromkeys(_STRINGS, _STRINGS),
}
"""Which types of columns a model takes in place of the one that it has learned from."""


def resolve_model_on_dataset(
    session: Session, project: str, spec: ModelOnDataset, *, with_target: bool
) -> Resolved:
    """Pin both refs; raise `Invalid` unless the dataset has the columns that the model needs."""
    if spec.dataset is None:
        raise Invalid.field("spec", "dataset", msg="should name a dataset")
    model_ref, model = registry.resolve(session, project, spec.model, "spec", "model")
    dataset_ref, dataset = datasets.resolve(session, project, spec.dataset, "spec", "dataset")
    there: dict[str, ColumnType] = {column["name"]: column["type"] for column in dataset.columns or []}
    needed = {
        column["name"]: _SAME.get(column["type"], (column["type"],)) for column in model.signature["inputs"]
    }
    if isinstance(spec, PredictSpec):
        needed = {name: types for name, types in needed.items() if name not in lists_by(model, there)}
    target = registry.target(session, model) if with_target else None
    if target is not None:
        needed[target] = _target_types(model)
    missing = [name for name in needed if name not in there]
    if missing:
        some = ", ".join(repr(name) for name in missing[:20])
        raise Invalid.field("spec", "dataset", msg=f"{dataset_ref} lacks what {model_ref} needs: {some}")
    other = [name for name, types in needed.items() if there[name] not in types]
    if other:
        some = ", ".join(f"{name!r} is {there[name]}, not {' or '.join(needed[name])}" for name in other[:20])
        raise Invalid.field("spec", "dataset", msg=f"{dataset_ref} does not fit {model_ref}: {some}")
    pinned = spec.model_copy(update={"model": str(model_ref), "dataset": str(dataset_ref)})
    return Resolved(spec=pinned, model=model_ref.name, dataset=dataset_ref.name)


def prepare_model_on_dataset(session: Session, job: Job, spec: ModelOnDataset) -> Preparation:
    """Give the job process the package and the table."""
    _, model = registry.resolve(session, job.project, spec.model, "spec", "model")
    runtime = algorithm(model.algorithm, "spec", "model").runtime
    package = artifacts.artifact(session, model.id, "package").digest
    if spec.dataset is None:
        return Preparation(runtime=runtime, inputs={"package": package})
    _, dataset = datasets.resolve(session, job.project, spec.dataset, "spec", "dataset")
    return Preparation(
        runtime=runtime,
        inputs={"package": package, "data": artifacts.artifact(session, dataset.id, "data").digest},
        columns=[Column.model_validate(column) for column in dataset.columns or []],
    )


def lists_by(model: ModelVersion, there: Collection[str]) -> list[str]:
    """Return the inputs that a dataset with the columns ``there`` lacks because it asks for lists; none where
    it does not."""
    if model.task != "recommendation":
        return []
    params = algorithm(model.algorithm, "spec", "model").params.model_validate(model.params)
    found = params.list_inputs()
    return found if not set(found) & set(there) else []


def columns_of(session: Session, project: str, dataset: str) -> dict[str, ColumnType]:
    """Return the columns of the version ``dataset``: their types by name."""
    _, version = datasets.resolve(session, project, dataset, "spec", "dataset")
    return {column["name"]: column["type"] for column in version.columns or []}


def task_of(session: Session, project: str, model: str) -> TaskType:
    """Return what the version ``model`` has learned to do."""
    _, version = registry.resolve(session, project, model, "spec", "model")
    return cast(TaskType, version.task)


def outputs_of(session: Session, project: str, model: str) -> list[str]:
    """Return the names of the outputs that the version ``model`` can give."""
    _, version = registry.resolve(session, project, model, "spec", "model")
    return [column["name"] for column in version.signature["outputs"]]


def _target_types(model: ModelVersion) -> tuple[ColumnType, ...]:
    """Return the types of column that can hold what ``model`` predicts."""
    if model.task != "classification":
        return _NUMBERS
    learned: ColumnType = model.signature["outputs"][0]["type"]
    return _STRINGS if learned in _STRINGS else (learned,)
