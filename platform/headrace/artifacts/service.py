"""Which row needs which bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from headrace.artifacts.store import Stored
from headrace.artifacts.tables import Artifact
from headrace.errors import NotFound


def attach(session: Session, *, project: str, owner: str, files: Mapping[str, Stored], now: datetime) -> None:
    """Record that ``owner`` needs ``files`` (name → bytes already durable in the store)."""
    session.add_all(
        Artifact(
            owner=owner,
            name=name,
            project=project,
            digest=file.digest,
            size_bytes=file.size_bytes,
            created_at=now,
        )
        for name, file in files.items()
    )


def attached(session: Session, owner: str) -> dict[str, Stored]:
    """Return what ``owner`` needs, by name."""
    rows = session.scalars(select(Artifact).where(Artifact.owner == owner))
    return {row.name: Stored(row.digest, row.size_bytes) for row in rows}


def artifact(session: Session, owner: str, name: str) -> Stored:
    """Return one file of ``owner``. Raises `NotFound`."""
    row = session.get(Artifact, (owner, name))
    if row is None:
        raise NotFound(f"{owner} has no {name}")
    return Stored(row.digest, row.size_bytes)


def size(session: Session) -> int:
    """Return the bytes that all rows together need; what two need counts twice."""
    return int(session.scalar(select(func.sum(Artifact.size_bytes))) or 0)


def detach(session: Session, owner: str, *names: str) -> None:
    """Record that ``owner`` needs the files ``names``, or any, no more."""
    gone = delete(Artifact).where(Artifact.owner == owner)
    session.execute(gone.where(Artifact.name.in_(names)) if names else gone)
