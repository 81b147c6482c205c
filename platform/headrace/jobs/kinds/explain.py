"""Explain: what the predictions of a version rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.errors import FieldError, Invalid
from headrace.jobs.kinds import Lane, Preparation, Resolved
from headrace.jobs.kinds.model_on_dataset import prepare_model_on_dataset, resolve_model_on_dataset
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.algorithms import algorithm, catalogue
from headrace.specs.base import ColumnType, TaskType
from headrace.specs.jobs import DEPENDABLE, DEPENDENT, ExplainSpec, Method
from headrace.specs.task import Done

Spec = ExplainSpec
LANE: Lane = "heavy"
RESULT = ("method", "rows", "strongest")
FOLLOWED: tuple[TaskType, ...] = ("classification", "regression")
"""The tasks of networks whose gradients are followed to their inputs."""

ONE_INPUT = (["table"], ["image"], ["audio"], ["text"])
"""What a network reads whose gradients are followed to its input."""

ROWS: dict[Method, int] = {"permutation": 2000, "integrated_gradients": 200}
"""So many rows are explained where the spec does not say."""


def resolve(session: Session, project: str, spec: ExplainSpec) -> Resolved:
    """Pin both refs and check that the method fits the model, and the dataset and the features both."""
    permutes = spec.method == "permutation"
    resolved = resolve_model_on_dataset(session, project, spec, with_target=permutes)
    pinned = resolved.spec
    assert isinstance(pinned, ExplainSpec)
    ref, version = registry.resolve(session, project, pinned.model, "spec", "model")
    learned = version.lineage["spec"]
    tested = learned["dataset"] == pinned.dataset and version.lineage["rows"]["test"] > 0
    # Without a fold it was tested on that, not on the test part of the split.
    tested = tested and learned.get("fold") is None
    wrong = [*_unfit(str(ref), version, pinned), *_unknown(version, pinned)]
    if pinned.part == "test" and not tested:
        msg = f"{ref} was tested on rows of {learned['dataset']} alone, if any: should be all or null"
        wrong.append(FieldError(loc=("spec", "part"), msg=msg))
    if wrong:
        raise Invalid(wrong)
    update = {
        "part": pinned.part or ("test" if tested else "all"),
        "rows": pinned.rows or ROWS[pinned.method],
    }
    return Resolved(spec=pinned.model_copy(update=update), model=resolved.model, dataset=resolved.dataset)


def prepare(session: Session, job: Job) -> Preparation:
    """Give the job process the package and the table."""
    return prepare_model_on_dataset(session, job, ExplainSpec.model_validate(job.spec))


def commit(
    session: Session, job: Job, done: Done, files: Mapping[str, Stored], now: datetime
) -> dict[str, Any]:
    """Keep the explanation with the job, and let it be found from the version."""
    _, version = registry.resolve(session, job.project, job.spec["model"], "spec", "model")
    artifacts.attach(session, project=job.project, owner=job.id, files=files, now=now)
    registry.add_explanation(session, version, job=job, now=now)
    return {"method": job.spec["method"], "rows": done.result["rows"], "strongest": done.result["strongest"]}


def _unfit(ref: str, version: ModelVersion, spec: ExplainSpec) -> Iterator[FieldError]:
    """Yield what the method cannot do with ``version``."""
    chosen = algorithm(version.algorithm, "spec", "model")
    if spec.method == "permutation" and (problem := without_score(ref, version)):
        yield FieldError(loc=("spec", "model"), msg=problem)
    if spec.partial_dependence and version.task not in DEPENDENT:
        msg = f"what {ref}, a {version.task}, predicts has no mean to be told: should be null or empty"
        yield FieldError(loc=("spec", "partial_dependence"), msg=msg)
    if spec.method == "integrated_gradients" and version.task not in FOLLOWED:
        msg = (
            f"{ref} does {version.task}; integrated_gradients explains {' and '.join(FOLLOWED)}: "
            "should be permutation"
        )
        yield FieldError(loc=("spec", "method"), msg=msg)
    elif spec.method == "integrated_gradients" and not chosen.gradients:
        able = ", ".join(each.name for each in catalogue().values() if each.gradients)
        msg = (
            f"{ref} is a {chosen.name}, which has no gradients: should be permutation; "
            f"integrated_gradients is for {able}"
        )
        yield FieldError(loc=("spec", "method"), msg=msg)
    elif spec.method == "integrated_gradients" and (reads := _inputs(version)) not in ONE_INPUT:
        msg = (
            f"{ref} reads {' and '.join(reads)}; integrated_gradients follows one input, a table, an image, "
            "a sound or a text: should be permutation"
        )
        yield FieldError(loc=("spec", "method"), msg=msg)
    if spec.method == "integrated_gradients" and spec.features is not None:
        msg = "is of the method permutation: integrated_gradients explains all at once; should be null"
        yield FieldError(loc=("spec", "features"), msg=msg)
    if spec.label is not None:
        outputs = [column["name"] for column in version.signature["outputs"]]
        classes = [name.removeprefix("probability_") for name in outputs if name.startswith("probability_")]
        text = str(spec.label).lower() if isinstance(spec.label, bool) else str(spec.label)
        if spec.method == "permutation":
            msg = "is of the method integrated_gradients: permutation explains all classes; should be null"
            yield FieldError(loc=("spec", "label"), msg=msg)
        elif text not in classes:
            some = ", ".join(classes[:20]) or "none: should be null"
            yield FieldError(loc=("spec", "label"), msg=f"{text[:100]!r} is no class; {ref} has {some}")


def without_score(ref: str, version: ModelVersion) -> str | None:
    """Return why shuffling a column of ``version`` would measure nothing; None where it does."""
    if version.task == "recommendation" and version.lineage["spec"]["target"] is None:
        return (
            f"{ref} has learned from clicks, and is measured by each user's list of items, which no shuffled "
            "row changes: should have learned from ratings"
        )
    if version.task == "forecast" and not version.lineage["spec"]["features"]:
        return f"{ref} reads nothing but past values of its target: should have a feature to be shuffled"
    return None


def _inputs(version: ModelVersion) -> list[str]:
    """Return what a network reads: columns of numbers and levels are one table."""
    types = [column["type"] for column in version.signature["inputs"]]
    apart = [type for type in types if type in ("image", "audio", "text", "sequence")]
    return sorted(apart) + (["table"] if len(apart) < len(types) else [])


def _unknown(version: ModelVersion, spec: ExplainSpec) -> Iterator[FieldError]:
    """Yield which columns are no features of ``version``, or none that can be explained so."""
    inputs = [column for column in version.signature["inputs"] if column["name"] not in _roles(version)]
    types: dict[str, ColumnType] = {column["name"]: column["type"] for column in inputs}
    ids = _named(version) if version.task == "recommendation" else set()
    asked = {"features": spec.features or [], "partial_dependence": spec.partial_dependence or []}
    for field, names in asked.items():
        for index, name in enumerate(names):
            problem = None
            if name not in types:
                some = ", ".join(list(types)[:20]) + (", …" if len(types) > 20 else "")
                problem = f"{name[:100]!r} is no feature of the model; it has {some}"
            elif name in names[:index]:
                problem = f"{name!r} stands here twice"
            elif field == "partial_dependence" and types[name] not in DEPENDABLE:
                problem = f"{name!r} is of type {types[name]}; it should be {', '.join(DEPENDABLE)}"
            elif field == "partial_dependence" and name in ids:
                problem = f"{name!r} says who or what, and has no order: should be a feature"
            if problem:
                yield FieldError(loc=("spec", field, index), msg=problem)


def _named(version: ModelVersion) -> set[str]:
    """Return the columns that the params of ``version`` name."""
    params = algorithm(version.algorithm, "spec", "model").params.model_validate(version.params)
    named = params.named_columns().values()
    return {name for names in named for name in ([names] if isinstance(names, str) else names or [])}


def _roles(version: ModelVersion) -> set[str]:
    """Return the inputs that are no features: what makes series of rows, and their past."""
    if version.task != "forecast":
        return set()
    return _named(version) | {version.lineage["spec"]["target"]}
