"""Projects, API keys, idempotency keys, and who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from headrace.db import Base

_UNCHAINED = text("seq IS NULL")

ROLES = ("viewer", "submitter", "maintainer", "admin")


class Project(Base):
    """A team's own space: what belongs to a project is invisible to the others."""

    __tablename__ = "projects"
    __table_args__ = (
        CheckConstraint("weight > 0", name="weight"),
        CheckConstraint("max_priority BETWEEN 0 AND 9", name="max_priority"),
        CheckConstraint("max_running >= 0 AND max_queued >= 0 AND max_stored_bytes >= 0", name="quotas"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    weight: Mapped[float] = mapped_column(default=1.0)
    max_priority: Mapped[int] = mapped_column(default=9)
    max_running: Mapped[int | None]
    max_queued: Mapped[int | None]
    max_stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    last_started_at: Mapped[datetime | None]


class ApiKey(Base):
    """A key: its prefix, to tell it by, and the SHA-256 of the whole; never the key itself."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(f"role IN {ROLES}", name="role"),
        Index("ix_api_keys_list", "project", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    role: Mapped[str]
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    secret_sha256: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SignIn(Base):
    """A person's session in a browser: the SHA-256 of its token, never the token, and whose key it is."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index("ix_sign_ins_expiry", "expires_at"),)

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class IdempotencyKey(Base):
    """A client's promise that requests with this key are one; the answer, once there is one.

    Without an answer the row reserves the key until ``expires_at``; with one, keeps it until then.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("(status IS NULL) = (answer IS NULL)", name="answered"),
        Index("ix_idempotency_keys_expiry", "expires_at"),
    )

    project: Mapped[str] = mapped_column(ForeignKey("projects.name"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str]
    request_sha256: Mapped[str | None]
    expires_at: Mapped[datetime]
    status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None]


class Audit(Base):
    """Somebody did something: one row an act, written with it.

    ``seq`` and ``digest`` come afterwards, when `headrace.access.audit.chain` adds the row to the chain.
    """

    __tablename__ = "audit"
    __table_args__ = (
        CheckConstraint("(seq IS NULL) = (digest IS NULL)", name="chained"),
        Index("ix_audit_list", "project", "id"),
        Index("ix_audit_unchained", "id", postgresql_where=_UNCHAINED, sqlite_where=_UNCHAINED),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    actor: Mapped[str]
    action: Mapped[str]
    object: Mapped[str]
    request_id: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    seq: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    digest: Mapped[str | None]
