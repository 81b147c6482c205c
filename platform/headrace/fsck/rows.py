"""Rows that should agree with each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, exists, or_, select, text
from sqlalchemy.orm import Session

from headrace.access import audit
from headrace.artifacts.tables import Artifact
from headrace.datasets.tables import Dataset, DatasetVersion
from headrace.db import clock, is_postgresql
from headrace.fsck.finding import Finding
from headrace.jobs.tables import Job
from headrace.registry.tables import Model, ModelVersion

_MOST = 1_000
_RESTORE = "restore the database from a backup, and report this: it should not be possible"
_READY = ("source", "data", "profile", "rows")


def database(session: Session) -> Iterator[Finding]:
    """Let SQLite check its file. PostgreSQL has tools of its own (``pg_amcheck``)."""
    if is_postgresql(session):
        return
    for pragma in ("integrity_check(10)", "foreign_key_check"):
        for row in session.execute(text(f"PRAGMA {pragma}")).fetchmany(10):
            if row[0] != "ok":
                said = " ".join(str(value) for value in row if value is not None)
                yield Finding("error", "database", "the file", said, _RESTORE)


def owners(session: Session) -> Iterator[Finding]:
    """Every artifact is owned by something that exists."""
    orphaned = select(Artifact).where(
        ~exists().where(DatasetVersion.id == Artifact.owner),
        ~exists().where(ModelVersion.id == Artifact.owner),
        ~exists().where(Job.id == Artifact.owner),
    )
    for row in session.scalars(orphaned.limit(_MOST)):
        yield Finding("error", "owner", row.owner, f"is gone, and still needs its {row.name}", _RESTORE)


def datasets(session: Session) -> Iterator[Finding]:
    """A dataset version has its bytes: the source always, the rest once it is ready."""
    for name in _READY:
        has = exists().where(Artifact.owner == DatasetVersion.id, Artifact.name == name)
        lacking = _named(DatasetVersion, Dataset, DatasetVersion.dataset).where(~has)
        if name != "source":
            lacking = lacking.where(DatasetVersion.columns.is_not(None))
        for version, dataset in session.execute(lacking.limit(_MOST)):
            message = f"has no {name}"
            yield Finding("error", "version", f"{dataset.name}@{version.version}", message, _RESTORE)
    other = (
        _named(DatasetVersion, Dataset, DatasetVersion.dataset)
        .join(Artifact, Artifact.owner == DatasetVersion.id)
        .where(Artifact.name == "source", Artifact.digest != DatasetVersion.digest)
    )
    for version, dataset in session.execute(other.limit(_MOST)):
        message = "has another source than it says"
        yield Finding("error", "version", f"{dataset.name}@{version.version}", message, _RESTORE)


def models(session: Session) -> Iterator[Finding]:
    """A model version has its package, and numbers do not run ahead."""
    for name in ("package", "evaluation"):
        has = exists().where(Artifact.owner == ModelVersion.id, Artifact.name == name)
        if name == "package":
            has = has.where(Artifact.digest == ModelVersion.digest)
        query = _named(ModelVersion, Model, ModelVersion.model).where(~has)
        for version, model in session.execute(query.limit(_MOST)):
            message = f"has no {name}"
            yield Finding("error", "version", f"{model.name}@{version.version}", message, _RESTORE)
    ahead = _named(ModelVersion, Model, ModelVersion.model).where(ModelVersion.version > Model.last_version)
    for version, model in session.execute(ahead.limit(_MOST)):
        message = f"has a higher number than the last, {model.last_version}"
        yield Finding("error", "version", f"{model.name}@{version.version}", message, _RESTORE)


def record(session: Session) -> Iterator[Finding]:
    """The chain of the audit log holds."""
    verdict = audit.verify(session, now=clock(session))
    if verdict.fault is not None:
        advice = "headrace audit verify; compare with a head that was noted elsewhere"
        yield Finding("error", "audit", "the record", verdict.fault, advice)


def leases(session: Session) -> Iterator[Finding]:
    """Only running jobs have a lease, and every running job has one that ends."""
    running = Job.state == "running"
    wrong = select(Job).where(
        or_(running != Job.lease_token.is_not(None), running != Job.lease_expires_at.is_not(None))
    )
    for job in session.scalars(wrong.limit(_MOST)):
        yield Finding("error", "job", job.id, f"is {job.state}, and its lease does not fit that", _RESTORE)


def _named(version: Any, parent: Any, key: Any) -> Select[Any]:
    return select(version, parent).join(parent, parent.id == key)
