"""Requests that are sent twice and must count once.

The protocol: `reserve` before the work, in a transaction of its own; then either `complete` in the very
transaction that has the effect, so that effect and answer are visible together or not at all, or `release`
when the request was refused. What takes long, an upload, calls `extend` meanwhile. A reservation that nobody
completes (a killed process) ends by itself after `RESERVED_FOR`; once it was forgotten, or another request
has taken the key, its late owner can no longer complete it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from headrace.access.tables import IdempotencyKey
from headrace.errors import Conflict, FieldError, IdempotencyKeyInUse, IdempotencyKeyReused

KEPT_FOR = timedelta(hours=48)
RESERVED_FOR = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """The right to answer the request with this key."""

    project: str
    key: str
    token: str


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The answer that was given before."""

    status: int
    answer: dict[str, Any]
    request_sha256: str

    def check(self, request_sha256: str) -> None:
        """Raise `IdempotencyKeyReused` unless this is the same request."""
        if self.request_sha256 != request_sha256:
            raise IdempotencyKeyReused(
                [FieldError(loc=("header", "Idempotency-Key"), msg="was used with another request")]
            )


def reserve(session: Session, project: str, key: str, now: datetime) -> Reservation | Answered:
    """Return the right to answer, for `RESERVED_FOR`, or the answer given before.

    Raises `Conflict` while another request with this key is being answered.
    """
    row = session.get(IdempotencyKey, (project, key), with_for_update=True)
    if row is not None and row.expires_at <= now:
        session.delete(row)
        session.flush()
        row = None
    if row is None:
        token = secrets.token_hex(16)
        row = IdempotencyKey(project=project, key=key, token=token, expires_at=now + RESERVED_FOR)
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:
            raise IdempotencyKeyInUse from None
        return Reservation(project=project, key=key, token=token)
    if row.answer is None or row.status is None:
        raise IdempotencyKeyInUse
    return Answered(status=row.status, answer=row.answer, request_sha256=row.request_sha256 or "")


def extend(session: Session, reservation: Reservation, now: datetime) -> None:
    """Prolong the right to answer by `RESERVED_FOR` from now. Raises `Conflict` if it has gone."""
    row = session.get(IdempotencyKey, (reservation.project, reservation.key), with_for_update=True)
    if row is None or row.token != reservation.token:
        raise _overtaken()
    row.expires_at = now + RESERVED_FOR


def complete(
    session: Session,
    reservation: Reservation,
    *,
    request_sha256: str,
    status: int,
    answer: dict[str, Any],
    now: datetime,
) -> None:
    """Keep ``answer``. Call it in the transaction of the effect. Raises `Conflict` if the right has gone."""
    row = session.get(IdempotencyKey, (reservation.project, reservation.key), with_for_update=True)
    if row is None or row.token != reservation.token:
        raise _overtaken()
    row.request_sha256 = request_sha256
    row.status = status
    row.answer = answer
    row.expires_at = now + KEPT_FOR


def release(session: Session, reservation: Reservation) -> None:
    """Free the key after a request that was refused, unless it was completed."""
    session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.project == reservation.project,
            IdempotencyKey.key == reservation.key,
            IdempotencyKey.token == reservation.token,
            IdempotencyKey.answer.is_(None),
        )
    )


def purge(session: Session, now: datetime) -> None:
    """Forget what has expired."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at <= now))


def _overtaken() -> Conflict:
    return Conflict(
        "this request took too long: its idempotency key may be used by another by now; send it again"
    )
