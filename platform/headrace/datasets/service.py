"""Datasets and their versions: upload, resolve, list, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from headrace.access import audit, quotas
from headrace.access.tables import Project
from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.artifacts.tables import Artifact
from headrace.datasets.tables import Dataset, DatasetVersion
from headrace.db import MAX_INTEGER, new_id
from headrace.errors import Conflict, Invalid, NotFound
from headrace.jobs import transitions
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.paging import Page, newest_first
from headrace.registry.tables import ModelVersion
from headrace.specs.base import ColumnType, Ref
from headrace.specs.jobs import IngestSpec

MEDIA_TYPES = ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet", "application/zip")
INGEST_PRIORITY = 5
INGEST_ATTEMPTS = 3
INGEST_TIMEOUT_S = 6 * 3600


@dataclass(frozen=True, kw_only=True)
class VersionState:
    """A version together with what its job says of it."""

    version: DatasetVersion
    state: str
    error: dict[str, Any] | None


def upload(
    session: Session,
    *,
    project: str,
    name: str,
    file: Stored,
    media_type: str,
    filename: str | None,
    types: Mapping[str, ColumnType],
    created_by: str | None,
    queue: str = "default",
    now: datetime,
) -> tuple[DatasetVersion, bool]:
    """Return the version made of the stored ``file``, and whether an ingest was started for it.

    Raises `Limited` when the project's quota of stored bytes or of queued jobs is used up.
    """
    # The project's row is the lock: two uploads of one name must not both make the dataset.
    owner = session.get_one(Project, project, with_for_update={"key_share": True})
    dataset = _find(session, project, name)
    if dataset is None:
        dataset = Dataset(id=new_id("dst"), project=project, name=name, created_at=now, last_version=0)
        session.add(dataset)
        session.flush()
    same = session.scalars(
        select(DatasetVersion)
        .where(DatasetVersion.dataset == dataset.id, DatasetVersion.digest == file.digest)
        .order_by(DatasetVersion.version.desc())
        .with_for_update()  # against a retry of the ingest
    ).all()
    for version in same:
        if version.media_type == media_type and version.types == dict(types):
            if describe(session, version).state != "failed":
                return version, False
            quotas.check_queued(session, owner)
            version.job = _ingest(session, project, name, version, created_by, queue, now).id
            session.flush()
            _uploaded(session, project, name, version, now)
            return version, True
    quotas.check_queued(session, owner)
    quotas.check_stored(session, owner, file.size_bytes)
    dataset.last_version += 1
    version = DatasetVersion(
        id=new_id("dsv"),
        dataset=dataset.id,
        version=dataset.last_version,
        digest=file.digest,
        size_bytes=file.size_bytes,
        media_type=media_type,
        filename=filename,
        types=dict(types),
        created_at=now,
        created_by=created_by,
    )
    version.job = _ingest(session, project, name, version, created_by, queue, now).id
    session.add(version)
    artifacts.attach(session, project=project, owner=version.id, files={"source": file}, now=now)
    session.flush()
    _uploaded(session, project, name, version, now)
    return version, True


def check_room(session: Session, project: str, file: Stored) -> None:
    """Raise `Limited` where `upload` of ``file`` would, as far as can be told without a lock.

    What the project has stored already passes: it may need nothing new.
    """
    known = select(Artifact.owner).where(Artifact.project == project, Artifact.digest == file.digest)
    if session.scalar(known.limit(1)) is None:
        owner = session.get_one(Project, project)
        quotas.check_queued(session, owner)
        quotas.check_stored(session, owner, file.size_bytes)


def ingest_again(session: Session, job: Job, *, created_by: str | None, now: datetime) -> Job:
    """Return a new ingest job in place of ``job``, which did not succeed.

    Raises `Conflict` if one exists, `Limited` when the project's quota of queued jobs is used up.
    """
    owner = session.get_one(Project, job.project, with_for_update={"key_share": True})
    version = session.scalar(select(DatasetVersion).where(DatasetVersion.job == job.id).with_for_update())
    if version is None:
        raise Conflict(f"{job.id} was retried already, or its dataset version is gone")
    quotas.check_queued(session, owner)
    again = _ingest(session, job.project, job.spec["dataset"], version, created_by, job.queue, now)
    again.retry_of = job.id
    version.job = again.id
    session.flush()
    audit.record(session, "job.retry", project=job.project, object=again.id, now=now, retry_of=job.id)
    return again


def _uploaded(session: Session, project: str, name: str, version: DatasetVersion, now: datetime) -> None:
    ref = f"{name}@{version.version}"
    audit.record(session, "dataset.upload", project=project, object=ref, now=now, digest=version.digest)


def _ingest(
    session: Session,
    project: str,
    name: str,
    version: DatasetVersion,
    created_by: str | None,
    queue: str,
    now: datetime,
) -> Job:
    spec = IngestSpec(
        dataset=name,
        version=version.version,
        media_type=version.media_type,
        filename=version.filename,
        types=version.types,
    )
    job = Job(
        id=new_id("job", now),
        project=project,
        kind="ingest",
        name=f"ingest {name}@{version.version}",
        priority=min(INGEST_PRIORITY, session.get_one(Project, project).max_priority),
        queue=queue,
        lane="light",
        spec=spec.model_dump(mode="json"),
        tags={},
        depends_on=[],
        dataset=name,
        max_attempts=INGEST_ATTEMPTS,
        timeout_s=INGEST_TIMEOUT_S,
        created_by=created_by,
    )
    return transitions.create(session, job, waiting=False, now=now)


def datasets(session: Session, project: str, *, limit: int, cursor: str | None = None) -> Page[Dataset]:
    """Return one page of the project's datasets."""
    query = select(Dataset).where(Dataset.project == project)
    return newest_first(session, query, Dataset.id, limit=limit, cursor=cursor)


def dataset(session: Session, project: str, name: str) -> Dataset:
    """Return a dataset by name. Raises `NotFound`."""
    found = _find(session, project, name)
    if found is None:
        raise NotFound(f"there is no dataset {name[:100]!r}")
    return found


def versions(
    session: Session, project: str, name: str, *, limit: int, cursor: str | None = None
) -> Page[DatasetVersion]:
    """Return one page of a dataset's versions. Raises `NotFound`."""
    query = select(DatasetVersion).where(DatasetVersion.dataset == dataset(session, project, name).id)
    return newest_first(session, query, DatasetVersion.version, limit=limit, cursor=cursor)


def version(session: Session, project: str, name: str, number: int, *, lock: bool = False) -> DatasetVersion:
    """Return one version, its row locked if asked for. Raises `NotFound`."""
    query = select(DatasetVersion).where(
        DatasetVersion.dataset == dataset(session, project, name).id, DatasetVersion.version == number
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(query) if number <= MAX_INTEGER else None
    if found is None:
        raise NotFound(f"dataset {name!r} has no version {number}")
    return found


def describe(session: Session, version: DatasetVersion) -> VersionState:
    """Return the version with its state: ``ingesting``, ``ready`` or ``failed`` (with the job's error)."""
    if version.columns is not None:
        return VersionState(version=version, state="ready", error=None)
    job = session.get_one(Job, version.job)
    if job.state in (State.FAILED, State.CANCELLED):
        return VersionState(version=version, state="failed", error=job.error)
    return VersionState(version=version, state="ingesting", error=None)


def latest_ready(session: Session, dataset: Dataset) -> DatasetVersion | None:
    """Return the newest version that is ready, if there is one."""
    query: Select[DatasetVersion] = (
        select(DatasetVersion)
        .where(DatasetVersion.dataset == dataset.id, DatasetVersion.columns.is_not(None))
        .order_by(DatasetVersion.version.desc())
        .limit(1)
    )
    return session.scalar(query)


def resolve(session: Session, project: str, ref: str, *loc: str | int) -> tuple[Ref, DatasetVersion]:
    """Return the ready version that ``ref`` means, with the ref pinned to it. Raises `Invalid` at ``loc``."""
    parsed = Ref.parse(ref)
    found = _find(session, project, parsed.name)
    if found is None:
        raise Invalid.field(*loc, msg=f"there is no dataset {parsed.name!r}")
    if isinstance(parsed.selector, str):
        raise Invalid.field(*loc, msg=f"datasets have no aliases: {ref!r} should end in a version number")
    if parsed.selector is None:
        chosen = latest_ready(session, found)
        if chosen is None:
            raise Invalid.field(*loc, msg=f"dataset {parsed.name!r} has no version that is ready")
        return Ref(parsed.name, chosen.version), chosen
    chosen = session.scalar(
        select(DatasetVersion).where(
            DatasetVersion.dataset == found.id, DatasetVersion.version == parsed.selector
        )
    )
    if chosen is None:
        raise Invalid.field(*loc, msg=f"dataset {parsed.name!r} has no version {parsed.selector}")
    state = describe(session, chosen).state
    if state == "ingesting":
        raise Invalid.field(*loc, msg=f"{ref} is still being ingested; wait until it is ready")
    if state == "failed":
        raise Invalid.field(*loc, msg=f"{ref} could not be ingested; see its error")
    return Ref(parsed.name, chosen.version), chosen


def version_of_job(session: Session, job_id: str) -> DatasetVersion:
    """Return the version that the ingest job ``job_id`` makes. Raises `NotFound`.

    Nobody else changes a version whose job has not ended, so whoever holds the job needs no other lock.
    """
    found = session.scalar(select(DatasetVersion).where(DatasetVersion.job == job_id))
    if found is None:
        raise NotFound(f"no dataset version is made by {job_id}")
    return found


def delete_version(
    session: Session, project: str, name: str, number: int, *, now: datetime, force: bool = False
) -> None:
    """Delete a version. Raises `NotFound`, or `Conflict` while it is ingested or a lineage needs it."""
    found = version(session, project, name, number, lock=True)
    if describe(session, found).state == "ingesting":
        raise Conflict(f"{name}@{number} is being ingested; cancel {found.job} first")
    needed_by = session.scalars(
        select(ModelVersion).where(ModelVersion.dataset_version == found.id).with_for_update()
    ).all()
    if needed_by and not force:
        raise Conflict(
            f"{len(needed_by)} model versions have {name}@{number} in their lineage; ?force=true deletes it"
        )
    for model_version in needed_by:
        model_version.dataset_version = None
    artifacts.detach(session, found.id)
    session.delete(found)
    session.flush()
    audit.record(session, "dataset.delete", project=project, object=f"{name}@{number}", now=now, force=force)


def _find(session: Session, project: str, name: str) -> Dataset | None:
    return session.scalar(select(Dataset).where(Dataset.project == project, Dataset.name == name))
