"""Which row needs which bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from headrace.artifacts.protocol import Store, Stored
from headrace.artifacts.tables import Artifact, Unneeded
from headrace.db import Database, is_postgresql
from headrace.errors import ArtifactMissing, Collected, NotFound

_STORE = "headrace_artifact_store"


def guard(database: Database, store: Store) -> None:
    """Let `attach`, in every transaction of ``database``, look into ``store`` for what it attaches."""
    database.info[_STORE] = store


def attach(session: Session, *, project: str, owner: str, files: Mapping[str, Stored], now: datetime) -> None:
    """Record that ``owner`` needs ``files`` (name → bytes already durable in the store).

    Raises `Collected` where the bytes have been removed since, or may be at any moment: store them again.
    """
    _keep(session, {file.digest for file in files.values()})
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


def needed(session: Session, digests: Iterable[str]) -> set[str]:
    """Return those of ``digests`` that some row needs."""
    return set(session.scalars(select(Artifact.digest).where(Artifact.digest.in_(digests)).distinct()))


def lock_digest(session: Session, digest: str, *, to_delete: bool) -> bool:
    """Hold ``digest`` until the transaction ends: many may attach it, or one delete it.

    Attaching waits, deleting does not: return whether it is held. SQLite has one writer anyway.
    """
    if not is_postgresql(session):
        return True
    function = "pg_try_advisory_xact_lock" if to_delete else "pg_advisory_xact_lock_shared"
    key = int.from_bytes(bytes.fromhex(digest.removeprefix("sha256:")[:16]), signed=True)
    return session.scalar(text(f"SELECT {function}(:key)"), {"key": key}) is not False


def _keep(session: Session, digests: set[str]) -> None:
    """See to it that the bytes ``digests`` stay, once this transaction is committed."""
    for digest in sorted(digests):
        lock_digest(session, digest, to_delete=False)
    new = sorted(digests - needed(session, digests))
    if not new:
        return
    rows = session.scalars(select(Unneeded).where(Unneeded.digest.in_(new)).with_for_update()).all()
    if gone := next((row for row in rows if row.deleter is not None), None):
        raise Collected(f"{gone.digest} is just being removed, since nothing needed it; store it again")
    if rows:
        session.execute(delete(Unneeded).where(Unneeded.digest.in_([row.digest for row in rows])))
    store: Store | None = session.info.get(_STORE)
    if store is None:
        return
    for digest in new:
        try:
            store.size(digest)
        except ArtifactMissing:
            raise Collected(f"{digest} is not in the artifact store; store it again") from None
