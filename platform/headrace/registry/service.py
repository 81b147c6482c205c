"""Models, versions and aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from headrace.access import audit
from headrace.access.tables import Project
from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.datasets.tables import DatasetVersion
from headrace.db import MAX_INTEGER, new_id
from headrace.errors import Conflict, Invalid, NotFound
from headrace.jobs.tables import Job
from headrace.paging import Page, newest_first
from headrace.registry.tables import AliasMove, Model, ModelAlias, ModelExplanation, ModelVersion
from headrace.schedules.tables import Schedule
from headrace.specs.algorithms import LEARNS_TARGET
from headrace.specs.base import NAME_PATTERN, Ref
from headrace.specs.jobs import TrainSpec

BACKBONE = "backbone"
"""The task of an uploaded version, which is there to start from, and the name of its package in a job."""


def add_version(
    session: Session,
    *,
    project: str,
    name: str,
    job: Job,
    spec: TrainSpec,
    dataset_version: DatasetVersion,
    learned: Mapping[str, Any],
    environment: Mapping[str, Any],
    files: Mapping[str, Stored],
    now: datetime,
) -> ModelVersion:
    """Register what ``job`` has learned as the next version of the model ``name``, made if need be.

    ``learned`` is the result of the job process: ``metrics``, ``signature``, ``task``, ``weights_digest``.
    """
    found = numbered(session, project, name, now)
    package = files["package"]
    added = ModelVersion(
        id=new_id("mdv"),
        model=found.id,
        version=found.last_version,
        job=job.id,
        created_at=now,
        algorithm=spec.algorithm,
        params=spec.params,
        task=learned["task"],
        metrics=learned["metrics"],
        signature=learned["signature"],
        dataset_version=dataset_version.id,
        lineage={
            "dataset": spec.dataset.partition("@")[0],
            "dataset_version": dataset_version.version,
            "dataset_digest": dataset_version.digest,
            "data_digest": artifacts.artifact(session, dataset_version.id, "data").digest,
            "base": spec.base,
            "seed": spec.seed,
            "split": spec.split.model_dump(),
            "spec": spec.model_dump(mode="json"),
            "rows": learned["rows"],
            "smallest_class": learned.get("smallest_class"),
            "environment": dict(environment),
        },
        weights_digest=learned["weights_digest"],
        digest=package.digest,
        size_bytes=package.size_bytes,
    )
    session.add(added)
    artifacts.attach(session, project=project, owner=added.id, files=files, now=now)
    session.flush()
    return added


def numbered(session: Session, project: str, name: str, now: datetime) -> Model:
    """Return the model ``name``, made if need be, with the number of its next version taken."""
    # The project's row is the lock: two jobs must not both make the model, nor take one number.
    session.get_one(Project, project, with_for_update={"key_share": True})
    found = _find(session, project, name)
    if found is None:
        found = Model(id=new_id("mdl"), project=project, name=name, created_at=now, last_version=0)
        session.add(found)
        session.flush()
    found.last_version += 1
    return found


def record_reproduction(
    session: Session, version: ModelVersion, verdict: Mapping[str, Any], *, job: Job, now: datetime
) -> None:
    """Keep with ``version`` what ``job`` found when it trained it again; the last verdict counts."""
    version.reproduced = {**verdict, "job": job.id, "at": now.isoformat()}
    session.flush()


def add_explanation(session: Session, version: ModelVersion, *, job: Job, now: datetime) -> None:
    """Let the explanation that ``job`` has made be found from ``version``."""
    spec = job.spec
    session.add(
        ModelExplanation(
            job=job.id, version=version.id, method=spec["method"], dataset=spec["dataset"], created_at=now
        )
    )
    session.flush()


def explanations(
    session: Session, version: ModelVersion, *, limit: int, cursor: str | None = None
) -> Page[ModelExplanation]:
    """Return one page of the explanations of ``version``."""
    query = select(ModelExplanation).where(ModelExplanation.version == version.id)
    return newest_first(session, query, ModelExplanation.job, limit=limit, cursor=cursor)


def models(session: Session, project: str, *, limit: int, cursor: str | None = None) -> Page[Model]:
    """Return one page of the project's models."""
    query = select(Model).where(Model.project == project)
    return newest_first(session, query, Model.id, limit=limit, cursor=cursor)


def model(session: Session, project: str, name: str) -> Model:
    """Return a model by name. Raises `NotFound`."""
    found = _find(session, project, name)
    if found is None:
        raise NotFound(f"there is no model {name[:100]!r}")
    return found


def versions(
    session: Session, project: str, name: str, *, limit: int, cursor: str | None = None
) -> Page[ModelVersion]:
    """Return one page of a model's versions. Raises `NotFound`."""
    query = select(ModelVersion).where(ModelVersion.model == model(session, project, name).id)
    return newest_first(session, query, ModelVersion.version, limit=limit, cursor=cursor)


def version(session: Session, project: str, name: str, number: int) -> ModelVersion:
    """Return one version. Raises `NotFound`."""
    query = select(ModelVersion).where(
        ModelVersion.model == model(session, project, name).id, ModelVersion.version == number
    )
    found = session.scalar(query) if number <= MAX_INTEGER else None
    if found is None:
        raise NotFound(f"model {name!r} has no version {number}")
    return found


def latest(session: Session, model: Model) -> ModelVersion | None:
    """Return the newest version, if there is one."""
    return session.scalar(
        select(ModelVersion)
        .where(ModelVersion.model == model.id)
        .order_by(ModelVersion.version.desc())
        .limit(1)
    )


def resolve(
    session: Session, project: str, ref: str, *loc: str | int, backbones: bool = False
) -> tuple[Ref, ModelVersion]:
    """Return the version that ``ref`` means, with the ref pinned to it. Raises `Invalid` at ``loc``.

    A backbone (`headrace.registry.uploads`) is refused unless ``backbones`` are asked for.
    """
    parsed = Ref.parse(ref)
    found = _find(session, project, parsed.name)
    if found is None:
        raise Invalid.field(*loc, msg=f"there is no model {parsed.name!r}")
    if parsed.selector is None:
        chosen = latest(session, found)
        missing = f"model {parsed.name!r} has no version"
    elif isinstance(parsed.selector, int):
        chosen = session.scalar(
            select(ModelVersion).where(
                ModelVersion.model == found.id, ModelVersion.version == parsed.selector
            )
        )
        missing = f"model {parsed.name!r} has no version {parsed.selector}"
    else:
        chosen = session.scalar(
            select(ModelVersion)
            .join(ModelAlias, ModelAlias.version == ModelVersion.id)
            .where(ModelAlias.model == found.id, ModelAlias.alias == parsed.selector)
        )
        missing = f"model {parsed.name!r} has no alias {parsed.selector!r}"
    if chosen is None:
        raise Invalid.field(*loc, msg=missing)
    pinned = Ref(parsed.name, chosen.version)
    if chosen.task == BACKBONE and not backbones:
        msg = f"{pinned} was uploaded and predicts nothing: train a version that names it as its base"
        raise Invalid.field(*loc, msg=msg)
    return pinned, chosen


def target(session: Session, version: ModelVersion) -> str | None:
    """Return the name of the column that ``version`` learned to predict, None where it learned none."""
    return version.lineage["spec"]["target"] if version.task in LEARNS_TARGET else None


def aliases_of(session: Session, model: Model) -> dict[str, int]:
    """Return the aliases of a model and the version number that each points at."""
    rows = session.execute(
        select(ModelAlias.alias, ModelVersion.version)
        .join(ModelVersion, ModelAlias.version == ModelVersion.id)
        .where(ModelAlias.model == model.id)
        .order_by(ModelAlias.alias)
    )
    return dict(rows.all())


def set_alias(
    session: Session, project: str, name: str, alias: str, number: int, *, by: str | None, now: datetime
) -> None:
    """Point ``alias`` at a version, in one step. Raises `NotFound`, or `Invalid` for a bad alias."""
    if not re.fullmatch(NAME_PATTERN, alias) or alias.isdecimal():
        raise Invalid.field(
            "path", "alias", msg=f"{alias[:100]!r} should match {NAME_PATTERN} and be no number"
        )
    _lock(session, project, name)
    chosen = version(session, project, name, number)
    row = session.get(ModelAlias, (chosen.model, alias))
    if row is None:
        session.add(ModelAlias(model=chosen.model, alias=alias, version=chosen.id, moved_at=now))
    else:
        row.version, row.moved_at = chosen.id, now
    _moved(session, chosen.model, alias, number, by, now)
    audit.record(session, "alias.move", project=project, object=f"{name}@{alias}", now=now, version=number)


def delete_alias(
    session: Session, project: str, name: str, alias: str, *, by: str | None, now: datetime
) -> None:
    """Take an alias away. Raises `NotFound`."""
    found = _lock(session, project, name)
    row = session.get(ModelAlias, (found.id, alias))
    if row is None:
        raise NotFound(f"model {name!r} has no alias {alias[:100]!r}")
    session.delete(row)
    _moved(session, found.id, alias, None, by, now)
    audit.record(session, "alias.delete", project=project, object=f"{name}@{alias}", now=now)


def alias_history(session: Session, project: str, name: str, alias: str) -> Sequence[AliasMove]:
    """Return every move of an alias, newest first."""
    found = model(session, project, name)
    return session.scalars(
        select(AliasMove)
        .where(AliasMove.model == found.id, AliasMove.alias == alias)
        .order_by(AliasMove.id.desc())
    ).all()


def delete_version(session: Session, project: str, name: str, number: int, *, now: datetime) -> None:
    """Delete a version. Raises `NotFound`, or `Conflict` while an alias or a schedule needs it."""
    _lock(session, project, name)
    found = version(session, project, name, number)
    pointing = session.scalars(select(ModelAlias.alias).where(ModelAlias.version == found.id)).all()
    if pointing:
        raise Conflict(f"{name}@{number} is {', '.join(pointing)}; move the alias first")
    if scheduled := _scheduled(session, project, Ref(name, number)):
        raise Conflict(f"{name}@{number} is needed by {', '.join(scheduled)}; change the schedule first")
    artifacts.detach(session, found.id)
    session.delete(found)
    session.flush()
    audit.record(session, "model.delete", project=project, object=f"{name}@{number}", now=now)


def _scheduled(session: Session, project: str, ref: Ref) -> list[str]:
    """Return the schedules, paused or not, whose job names the version ``ref``."""

    def ref_of(job: Mapping[str, Any]) -> Ref | None:
        named = job["spec"].get("model")
        return Ref.parse(named) if named is not None else None

    rows = session.execute(select(Schedule.id, Schedule.job).where(Schedule.project == project))
    return [schedule_id for schedule_id, job in rows if ref_of(job) == ref]


def _moved(
    session: Session, model_id: str, alias: str, number: int | None, by: str | None, now: datetime
) -> None:
    session.add(
        AliasMove(id=new_id("mov"), model=model_id, alias=alias, version=number, moved_at=now, moved_by=by)
    )
    session.flush()


def _lock(session: Session, project: str, name: str) -> Model:
    """Return the model, locked before its versions and aliases are looked at: they change one at a time."""
    found = model(session, project, name)
    session.refresh(found, with_for_update={"key_share": True})
    return found


def _find(session: Session, project: str, name: str) -> Model | None:
    return session.scalar(select(Model).where(Model.project == project, Model.name == name))
