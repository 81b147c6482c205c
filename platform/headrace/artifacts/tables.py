"""Which row needs which bytes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index
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
