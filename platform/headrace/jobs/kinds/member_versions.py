"""Training that combines versions: which they are, and what must fit for them to be judged together.

What the whole is judged on, none of its members may have learned from. So all were divided alike, and the
whole is divided as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.datasets.tables import DatasetVersion
from headrace.errors import FieldError, Invalid
from headrace.jobs.kinds import members_anew
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.algorithms import Algorithm, algorithm
from headrace.specs.base import ColumnType
from headrace.specs.jobs import TrainSpec

MODELS = "models"
"""The param that lists the refs."""

MEMBER = "member_"
"""Before the number of a member: the name of its package, among a job's inputs and a version's files."""


def take_over(
    session: Session,
    project: str,
    spec: TrainSpec,
    chosen: Algorithm,
    columns: Mapping[str, ColumnType],
    dataset: DatasetVersion,
) -> TrainSpec:
    """Return ``spec`` with its members pinned and their features. Raises `Invalid` where they do not fit."""
    if not chosen.combines:
        return spec
    for field in ("cross_validation", "fold"):
        if getattr(spec, field) is not None:
            msg = "the members have learned from rows of every fold: should be null"
            raise Invalid.field("spec", field, msg=msg)
    params = chosen.check_params(spec.params, "spec", "params")
    folds = members_anew.folds(spec)
    chosen.check_fit(params, spec.task or chosen.tasks[0], "spec", "params")
    wrong: list[FieldError] = []
    refs: list[str] = []
    features: dict[str, None] = {}
    versions: list[ModelVersion] = []
    for i, text in enumerate(params[MODELS]):
        loc = ("spec", "params", MODELS, i)
        ref, version = registry.resolve(session, project, text, *loc)
        versions.append(version)
        problem = "stands here twice" if str(ref) in refs else _misfit(spec, chosen, versions, columns)
        problem = problem or _divided_otherwise(spec, version, versions[0], dataset)
        if folds is not None:
            problem = problem or members_anew.misfit(session, version, dataset)
        if problem:
            wrong.append(FieldError(loc=loc, msg=f"{ref}: {problem}"))
        refs.append(str(ref))
        features |= dict.fromkeys(column["name"] for column in version.signature["inputs"])
    if folds is not None and not wrong:
        wrong = members_anew.check(spec, folds, versions)
    if wrong:
        raise Invalid(wrong)
    if spec.features is not None and spec.features != list(features):
        msg = f"the members were trained on {', '.join(list(features)[:20])}: should be null"
        raise Invalid.field("spec", "features", msg=msg)
    given = {"params": {**params, MODELS: refs}, "features": list(features)}
    return spec.model_copy(update={**given, "task": spec.task or versions[0].task})


def packages(session: Session, project: str, spec: TrainSpec) -> dict[str, Stored]:
    """Return the members' packages by name. A version keeps them, so that it can be made again."""
    if not algorithm(spec.algorithm, "spec", "algorithm").combines:
        return {}
    found = {}
    for i, ref in enumerate(spec.params[MODELS]):
        _, version = registry.resolve(session, project, ref, "spec", "params", MODELS, i)
        found[f"{MEMBER}{i}"] = artifacts.artifact(session, version.id, "package")
    return found


def kept(session: Session, version: ModelVersion) -> dict[str, Stored]:
    """Return the packages that ``version`` combines, and what they said of held-out rows, by name; nothing
    where it combines none."""
    files = artifacts.attached(session, version.id)
    return {
        name: file for name, file in files.items() if name.startswith((MEMBER, f"{members_anew.HELD_OUT}_"))
    }


def _misfit(
    spec: TrainSpec, chosen: Algorithm, versions: Sequence[ModelVersion], columns: Mapping[str, ColumnType]
) -> str | None:
    """Return why the last of ``versions`` does not go with the first of them and ``spec``."""
    first, version = versions[0], versions[-1]
    if algorithm(version.algorithm, "spec", "params", MODELS).combines:
        return "is an ensemble itself; name its members instead"
    if version.task not in chosen.tasks or version.task != (spec.task or version.task):
        return f"does {version.task}, this job {spec.task or ' or '.join(chosen.tasks)}"
    if version.task != first.task:
        return f"does {version.task}, the first of the list {first.task}"
    if (target := version.lineage["spec"]["target"]) != spec.target:
        return f"has learned {target!r}, not {spec.target!r}"
    for column in version.signature["inputs"]:
        name, kind = column["name"], column["type"]
        if columns.get(name) != kind:
            found = f"is a {columns[name]} column" if name in columns else "is missing"
            return f"needs the {kind} column {name!r}, which {found} here"
    return None


def _divided_otherwise(
    spec: TrainSpec, version: ModelVersion, first: ModelVersion, dataset: DatasetVersion
) -> str | None:
    split = spec.split.model_dump()
    if version.lineage["spec"].get("fold") is not None:
        return "was trained on all rows but a fold, so it may have learned from test rows"
    if version.lineage["split"] != split:
        return f"was trained with the split {version.lineage['split']}, which should be that of this job, too"
    if spec.split.by == "random" and version.lineage["dataset_digest"] != dataset.digest:
        return "was divided at random on another dataset, so it may have learned from test rows"
    features = [column["name"] for column in version.signature["inputs"]]
    if spec.split.by == "hash" and features != [column["name"] for column in first.signature["inputs"]]:
        return (
            "has other features than the first of the list, by which rows were divided; "
            "train all with split.by random, time:COLUMN or column:COLUMN"
        )
    return None
