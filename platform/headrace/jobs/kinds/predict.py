"""Predict: a version of a model says something about every row of a dataset, or makes rows of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.errors import FieldError, Invalid
from headrace.jobs.kinds import Lane, Preparation, Resolved
from headrace.jobs.kinds.model_on_dataset import (
    columns_of,
    lists_by,
    outputs_of,
    prepare_model_on_dataset,
    resolve_model_on_dataset,
    task_of,
)
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.specs.algorithms import catalogue, no_column
from headrace.specs.jobs import PredictSpec
from headrace.specs.task import Done

Spec = PredictSpec
LANE: Lane = "heavy"
RESULT = ("rows", "format", "digest", "size_bytes")


def resolve(session: Session, project: str, spec: PredictSpec) -> Resolved:
    """Pin both refs and check that the dataset has the features and the columns to keep."""
    if spec.sample is not None:
        return _resolve_sample(session, project, spec)
    resolved = resolve_model_on_dataset(session, project, spec, with_target=False)
    pinned = resolved.spec
    assert isinstance(pinned, PredictSpec)
    assert pinned.dataset is not None
    there = columns_of(session, project, pinned.dataset)
    outputs = outputs_of(session, project, pinned.model)
    if pinned.keep and task_of(session, project, pinned.model) == "forecast":
        msg = "the rows of a forecast are none of the dataset: should be empty"
        raise Invalid.field("spec", "keep", msg=msg)
    _, model = registry.resolve(session, project, pinned.model, "spec", "model")
    wrong = _misfits(pinned, lists=bool(lists_by(model, there)))
    if wrong:
        raise Invalid(wrong)
    for index, name in enumerate(pinned.keep):
        problem = None
        if name not in there:
            problem = f"{pinned.dataset} has no column {name[:100]!r}"
        elif name in outputs:
            problem = f"{name!r} is also the name of an output"
        elif name in pinned.keep[:index]:
            problem = f"{name!r} stands here twice"
        if problem:
            wrong.append(FieldError(loc=("spec", "keep", index), msg=problem))
    wrong += [
        FieldError(loc=("spec", "columns", index), msg=f"{name[:100]!r} is none of {', '.join(outputs[:20])}")
        for index, name in enumerate(pinned.columns or [])
        if name not in outputs
    ]
    if wrong:
        raise Invalid(wrong)
    return resolved


def _resolve_sample(session: Session, project: str, spec: PredictSpec) -> Resolved:
    """Pin the model and check that rows can be drawn from it, with the columns that are asked for."""
    ref, model = registry.resolve(session, project, spec.model, "spec", "model")
    samplers = [name for name, found in catalogue().items() if found.samples]
    columns = [column["name"] for column in model.signature["inputs"]]
    wrong = []
    if model.algorithm not in samplers:
        msg = f"no rows can be drawn from {ref}, a {model.algorithm}, only from a {' or '.join(samplers)}"
        wrong.append(FieldError(loc=("spec", "sample"), msg=msg))
    if spec.dataset is not None:
        wrong.append(FieldError(loc=("spec", "dataset"), msg="should be null where rows are drawn"))
    wrong += _misfits(spec, lists=False)
    if spec.keep:
        msg = "should be empty where rows are drawn: there is no dataset to keep columns of"
        wrong.append(FieldError(loc=("spec", "keep"), msg=msg))
    wrong += [
        FieldError(loc=("spec", "columns", index), msg=no_column(name, columns))
        for index, name in enumerate(spec.columns or [])
        if name not in columns
    ]
    if wrong:
        raise Invalid(wrong)
    return Resolved(spec=spec.model_copy(update={"model": str(ref)}), model=ref.name)


def _misfits(spec: PredictSpec, *, lists: bool) -> list[FieldError]:
    """Return what does not go with an output of ``lists``, or with another one."""
    if not lists:
        only = "is the length of lists, which a recommender gives for a dataset without items: should be null"
        return [FieldError(loc=("spec", "k"), msg=only)] if spec.k is not None else []
    own = "the output is a list of items for each user, whose columns are fixed: should be left out"
    return [FieldError(loc=("spec", name), msg=own) for name in ("keep", "columns") if getattr(spec, name)]


def prepare(session: Session, job: Job) -> Preparation:
    """Give the job process the package and the table."""
    return prepare_model_on_dataset(session, job, PredictSpec.model_validate(job.spec))


def commit(
    session: Session, job: Job, done: Done, files: Mapping[str, Stored], now: datetime
) -> dict[str, Any]:
    """Keep the output with the job."""
    artifacts.attach(session, project=job.project, owner=job.id, files=files, now=now)
    output = files["output"]
    return {
        "rows": done.result["rows"],
        "format": job.spec["format"],
        "digest": output.digest,
        "size_bytes": output.size_bytes,
    }
