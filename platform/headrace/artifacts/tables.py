"""Which row needs which bytes, and which bytes nothing needs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from headrace.db import Base


class Artifact(Base):
    """``owner`` (the id of a version or job) needs the bytes ``digest`` under the name ``name``.

    Bytes that no row names may be removed. The row is written only after the bytes are durable.
    """

    __tablename__ = "artifacts"
    __table_args__ = (
        Index("ix_artifacts_digest", "digest"),
        Index("ix_artifacts_project", "project"),
    )

    owner: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class Unneeded(Base):
    """Bytes that nothing needed at ``since``; `headrace.artifacts.collector` removes them in time.

    From ``deleting_at`` on, the process that drew ``deleter`` may be deleting them: nobody may come to need
    them until this row is gone.
    """

    __tablename__ = "unneeded"
    __table_args__ = (
        CheckConstraint("(deleter IS NULL) = (deleting_at IS NULL)", name="deleting"),
        Index("ix_unneeded_since", "since"),
    )

    digest: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    deleting_at: Mapped[datetime | None]
    deleter: Mapped[str | None]
