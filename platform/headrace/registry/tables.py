"""Models, their versions, and the aliases that point at them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from headrace.db import Base


class Model(Base):
    """A name under which versions are kept. ``last_version`` numbers them and never falls."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("project", "name"), Index("ix_models_list", "project", "id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    name: Mapped[str]
    created_at: Mapped[datetime]
    last_version: Mapped[int] = mapped_column(default=0)


class ModelVersion(Base):
    """What one train job learned, and how to make it again.

    ``job`` is unique: a job has one effect. ``package`` and ``evaluation`` are artifacts of this row's id.
    ``reproduced`` is the verdict of the last reproduce job, with its id and time.
    """

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("model", "version"),
        UniqueConstraint("job"),
        Index("ix_model_versions_lineage", "dataset_version"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.id"))
    version: Mapped[int]
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime]
    algorithm: Mapped[str]
    params: Mapped[dict[str, Any]]
    task: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    signature: Mapped[dict[str, Any]]
    dataset_version: Mapped[str | None] = mapped_column(
        ForeignKey("dataset_versions.id", ondelete="SET NULL")
    )
    lineage: Mapped[dict[str, Any]]
    weights_digest: Mapped[str]
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    reproduced: Mapped[dict[str, Any] | None]


class ModelExplanation(Base):
    """What an explain job has found of a version; the explanation itself is an artifact of the job."""

    __tablename__ = "model_explanations"
    __table_args__ = (Index("ix_model_explanations_version", "version", "job"),)

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id", ondelete="CASCADE"))
    method: Mapped[str]
    dataset: Mapped[str]
    created_at: Mapped[datetime]


class ModelAlias(Base):
    """A name that points at one version of a model."""

    __tablename__ = "model_aliases"
    __table_args__ = (Index("ix_model_aliases_version", "version"),)

    model: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    moved_at: Mapped[datetime]


class AliasMove(Base):
    """One move of an alias; ``version`` is null where it was taken away."""

    __tablename__ = "alias_moves"
    __table_args__ = (Index("ix_alias_moves_alias", "model", "alias", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.id"))
    alias: Mapped[str]
    version: Mapped[int | None]
    moved_at: Mapped[datetime]
    moved_by: Mapped[str | None]
