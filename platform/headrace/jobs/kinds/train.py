"""Train: a dataset version becomes a new version of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace import __version__
from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.datasets import service as datasets
from headrace.datasets.tables import DatasetVersion
from headrace.errors import FieldError, Invalid
from headrace.jobs.kinds import (
    Lane,
    Preparation,
    Resolved,
    base_version,
    folds,
    member_versions,
    members_anew,
    slices,
)
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.algorithms import NEEDS_TARGET, TARGETS, Algorithm, algorithm, no_column
from headrace.specs.base import Column, ColumnType, TaskType
from headrace.specs.jobs import TrainSpec
from headrace.specs.task import Done

Spec = TrainSpec
LANE: Lane = "heavy"
RESULT = ("model", "version", "metrics", "promoted", "reason", "warnings", "cross_validation", "stacking")
LEARNED_AS: dict[ColumnType, tuple[ColumnType, ...]] = {
    "category": ("text",),
    "text": ("category",),
    "integer": ("number", "category"),
    "number": ("category",),
    "boolean": ("category",),
}
"""As what else a column can be learned where ``types`` says so."""

DEFAULT_THREADS = 1
"""Threads change the bits of what is learned, so they are part of the spec, not of the machine."""


def resolve(session: Session, project: str, spec: TrainSpec) -> Resolved:
    """Check ``spec`` against the catalogue of algorithms and the dataset's columns."""
    chosen = algorithm(spec.algorithm, "spec", "algorithm")
    ref, version = datasets.resolve(session, project, spec.dataset, "spec", "dataset")
    columns = _typed(version, spec)
    spec = base_version.take_over(session, project, spec, chosen, columns)
    spec = member_versions.take_over(session, project, spec, chosen, columns, version)
    params = chosen.check_params(spec.params, "spec", "params")
    task = _task(spec, chosen, columns)
    chosen.check_fit(params, task, "spec", "params")
    every = _columns(version, spec)
    named = chosen.check_dataset(params, every, spec.target, "spec", "params")
    chosen.check_rows(params, version.rows or 0, version.distinct_times or {}, "spec", "params")
    spec = _split(spec, chosen, params)
    features = _features(spec, chosen.narrowed(params), columns, named)
    typed = [column for column in every if column.name in features]
    chosen.check_columns(params, typed, "spec", "params")
    slices.check(spec.slices, columns, task)
    spec = folds.check(spec.model_copy(update={"task": task, "dataset": str(ref)}), version.rows, columns)
    resolved = spec.model_copy(
        update={
            "params": params,
            "features": features,
            "threads": spec.threads or DEFAULT_THREADS,
        }
    )
    anew = members_anew.folds(resolved) is not None
    if anew:
        _check_members(session, project, resolved)
    lane: Lane | None = "coordinator" if anew or spec.cross_validation is not None else None
    return Resolved(spec=resolved, model=spec.model, dataset=ref.name, lane=lane)


def prepare(session: Session, job: Job) -> Preparation:
    """Give the job process the table and what the version's lineage says of it."""
    spec = TrainSpec.model_validate(job.spec)
    ref, version = datasets.resolve(session, job.project, spec.dataset, "spec", "dataset")
    packages = _packages(session, job.project, spec, coordinator=job.parent)
    preparation = prepare_training(session, spec, ref.name, version, packages)
    part = job.parent is not None
    held_out = part and spec.fold is not None and spec.fold.rows == "training"
    return replace(preparation, validation=part, held_out=held_out)


def prepare_training(
    session: Session, spec: TrainSpec, dataset: str, version: DatasetVersion, packages: Mapping[str, Stored]
) -> Preparation:
    """Return what a job process is given to learn from ``version`` of ``dataset`` by ``spec``, resolved.

    ``packages``, by name: the one to start from, or those to combine and what they said of held-out rows.
    """
    chosen = algorithm(spec.algorithm, "spec", "algorithm")
    data = artifacts.artifact(session, version.id, "data")
    return Preparation(
        runtime=chosen.runtime,
        inputs={"data": data.digest, **{name: file.digest for name, file in packages.items()}},
        columns=_columns(version, spec),
        code=chosen.code,
        lineage={
            "dataset": dataset,
            "dataset_version": version.version,
            "dataset_digest": version.digest,
            "data_digest": data.digest,
            "base": spec.base,
            "seed": spec.seed,
            "split": spec.split.model_dump(),
        },
    )


def commit(
    session: Session, job: Job, done: Done, files: Mapping[str, Stored], now: datetime
) -> dict[str, Any]:
    """Register the version. A part of a coordinator's work keeps it for its parent instead."""
    if job.parent is not None:
        artifacts.attach(session, project=job.project, owner=job.id, files=files, now=now)
        return done.result
    spec = TrainSpec.model_validate(job.spec)
    return result(register(session, job, spec, done.result, files, now), done.result)


def register(
    session: Session,
    job: Job,
    spec: TrainSpec,
    learned: Mapping[str, Any],
    files: Mapping[str, Stored],
    now: datetime,
) -> ModelVersion:
    """Register as the effect of ``job`` what was ``learned``, the result of a job process, by ``spec``."""
    _, dataset_version = datasets.resolve(session, job.project, spec.dataset, "spec", "dataset")
    environment = {"headrace": __version__, **learned["environment"]}
    return registry.add_version(
        session,
        project=job.project,
        name=spec.model,
        job=job,
        spec=spec,
        dataset_version=dataset_version,
        learned=learned,
        environment=environment,
        files={**files, **_packages(session, job.project, spec, coordinator=job.id)},
        now=now,
    )


def result(version: ModelVersion, learned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a job that has registered what was ``learned`` as ``version``."""
    return {
        "model": version.lineage["spec"]["model"],
        "version": version.version,
        "metrics": version.metrics,
        "promoted": False,
        "reason": "no promotion was asked for",
        "warnings": learned.get("warnings", []),
    }


def _packages(
    session: Session, project: str, spec: TrainSpec, *, coordinator: str | None
) -> dict[str, Stored]:
    found = base_version.package(session, project, spec) | member_versions.packages(session, project, spec)
    if coordinator is not None and members_anew.folds(spec) is not None:
        found |= members_anew.held_out(session, coordinator, spec.params["models"])
    return found


def _check_members(session: Session, project: str, spec: TrainSpec) -> None:
    """Raise `Invalid` where a member cannot be trained again as it was."""
    for i, (ref, alone) in enumerate(members_anew.trainings(session, project, spec)):
        try:
            resolve(session, project, TrainSpec.model_validate(alone[0]))
        except Invalid as error:
            msg = f"{ref} cannot be trained anew: {error.detail}"
            raise Invalid.field("spec", "params", "models", i, msg=msg) from None


def _typed(version: DatasetVersion, spec: TrainSpec) -> dict[str, ColumnType]:
    columns = {column["name"]: column["type"] for column in version.columns or []}
    for name in spec.types:
        if name not in columns:
            raise Invalid.field("spec", "types", name, msg=no_column(name, list(columns)))
        other = LEARNED_AS.get(columns[name], ())
        # The classes of a target keep their type, so that predictions have it.
        if name == spec.target and columns[name] not in ("category", "text"):
            other = ()
        may = (columns[name], *other)
        if spec.types[name] not in may:
            raise Invalid.field(
                "spec",
                "types",
                name,
                msg=f"{name!r} is {columns[name]}; it can be learned as {' or '.join(may)}",
            )
    return {**columns, **spec.types}


def _columns(version: DatasetVersion, spec: TrainSpec) -> list[Column]:
    """Return the columns with the types that they are learned as."""
    types = _typed(version, spec)
    return [
        Column.model_validate(column | {"type": types[column["name"]]}) for column in version.columns or []
    ]


def _task(spec: TrainSpec, chosen: Algorithm, columns: dict[str, ColumnType]) -> TaskType:
    if spec.target is not None and spec.target not in columns:
        raise Invalid.field("spec", "target", msg=no_column(spec.target, list(columns)))
    if spec.task is not None and spec.task not in chosen.tasks:
        takes = " or ".join(chosen.tasks)
        raise Invalid.field("spec", "task", msg=f"{chosen.name} does {takes}, not {spec.task}")
    if spec.target is None:
        return _task_without_target(spec, chosen)
    kind = columns[spec.target]
    fitting = [task for task in chosen.tasks if kind in TARGETS[task]]
    if spec.task is not None and spec.task in fitting:
        return spec.task
    if spec.task is not None or not fitting:
        wanted = spec.task or " or ".join(chosen.tasks)
        raise Invalid.field(
            "spec",
            "target",
            msg=f"{spec.target!r} is a {kind} column, which is no target for {wanted}{_takes(chosen)}",
        )
    natural: TaskType = "regression" if kind in ("number", "integer") else "classification"
    return natural if natural in fitting else fitting[0]


def _split(spec: TrainSpec, chosen: Algorithm, params: dict[str, Any]) -> TrainSpec:
    """Return ``spec`` divided as ``params`` ask for; ``column:`` may say otherwise."""
    wanted = chosen.params.model_validate(params).split_by()
    if wanted is None or spec.split.by == wanted or spec.split.by.startswith("column:"):
        return spec
    if "by" in spec.split.model_fields_set:
        msg = f"{chosen.name} divides rows in the order of time: should be {wanted} or column:COLUMN"
        raise Invalid.field("spec", "split", "by", msg=msg)
    return spec.model_copy(update={"split": spec.split.model_copy(update={"by": wanted})})


def _takes(chosen: Algorithm) -> str:
    """Return which columns are targets for ``chosen``, where it does one thing only."""
    types = TARGETS[chosen.tasks[0]] if len(chosen.tasks) == 1 else ()
    return f": should be {' or '.join(types)}" if types else ""


def _task_without_target(spec: TrainSpec, chosen: Algorithm) -> TaskType:
    may = chosen.tasks if spec.task is None else (spec.task,)
    found = next((task for task in may if task not in NEEDS_TARGET), None)
    if found is None:
        raise Invalid.field(
            "spec", "target", msg=f"a {' or '.join(may)} needs one: the name of the column to learn"
        )
    return found


def _features(
    spec: TrainSpec, chosen: Algorithm, columns: dict[str, ColumnType], named: set[str]
) -> list[str]:
    """Return the features, where the spec names none all columns that ``chosen`` takes and are not apart."""
    grouped = spec.cross_validation or spec.fold
    apart = {spec.target, spec.split.column, grouped and grouped.group, *named}
    if spec.split.column is not None and spec.split.column not in columns:
        raise Invalid.field("spec", "split", "by", msg=no_column(spec.split.column, list(columns)))
    if spec.features is None:
        features = [name for name, kind in columns.items() if name not in apart and kind in chosen.features]
        if not features and chosen.needs_features:
            takes = ", ".join(chosen.features)
            raise Invalid.field(
                "spec",
                "algorithm",
                msg=f"{chosen.name} takes {takes} columns; {spec.dataset} has none but the target",
            )
        if lacking := _lacking(chosen, features, columns):
            raise Invalid.field("spec", "algorithm", msg=f"{lacking}; {spec.dataset} has none but the target")
        if chosen.single_feature and len(features) > 1:
            raise Invalid.field(
                "spec",
                "features",
                msg=f"{chosen.name} takes one column; name one of {', '.join(features[:20])}",
            )
        _check_media(features, columns)
        return features
    wrong = []
    if not spec.features and chosen.needs_features:
        msg = f"{chosen.name} needs one at least; null takes every column that it can"
        wrong.append(FieldError(loc=("spec", "features"), msg=msg))
    for index, name in enumerate(spec.features):
        problem = None
        if name not in columns:
            problem = no_column(name, list(columns))
        elif name == spec.target:
            problem = "is the target"
        elif name in named:
            problem = f"{name!r} is named in params"
        elif name in spec.features[:index]:
            problem = f"{name!r} stands here twice"
        elif not chosen.features:
            problem = f"{chosen.name} takes no features but those that its params name"
        elif columns[name] not in chosen.features:
            takes = ", ".join(chosen.features)
            problem = f"{name!r} is a {columns[name]} column; {chosen.name} takes {takes}"
        if problem:
            wrong.append(FieldError(loc=("spec", "features", index), msg=problem))
    if not wrong and chosen.single_feature and len(spec.features) > 1:
        wrong.append(FieldError(loc=("spec", "features"), msg=f"{chosen.name} takes one column"))
    if not wrong and (lacking := _lacking(chosen, spec.features, columns)):
        wrong.append(FieldError(loc=("spec", "features"), msg=f"{lacking} among them"))
    if wrong:
        raise Invalid(wrong)
    _check_media(spec.features, columns)
    return spec.features


def _lacking(chosen: Algorithm, features: Sequence[str], columns: dict[str, ColumnType]) -> str | None:
    """Return what ``chosen`` needs and the ``features`` are not, None where nothing is lacking."""
    there = not chosen.needs or {columns[name] for name in features} & {*chosen.needs}
    return None if there else f"{chosen.name} needs a {' or a '.join(chosen.needs)} column"


def _check_media(features: Sequence[str], columns: dict[str, ColumnType]) -> None:
    """Raise `Invalid` for more than one column of images or sounds: a model has one input for them."""
    found = [name for name in features if columns[name] in ("image", "audio")]
    if len(found) > 1:
        msg = f"there may be one image or audio column; these are {', '.join(found[:20])}"
        raise Invalid.field("spec", "features", msg=msg)
