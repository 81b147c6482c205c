"""Datasets and their versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from headrace.db import Base


class Dataset(Base):
    """A name under which versions are kept. ``last_version`` numbers them and never falls."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("project", "name"), Index("ix_datasets_list", "project", "id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    name: Mapped[str]
    created_at: Mapped[datetime]
    last_version: Mapped[int] = mapped_column(default=0)


class DatasetVersion(Base):
    """One uploaded file and, once its ingest job has succeeded, the typed table made of it.

    There is no column for the state: it is ``ready`` when ``columns`` is there, else what the job says.
    ``distinct_times``: how many distinct values each timestamp column has, as far as they were counted.
    The bytes (``source``, ``data``, ``profile``, ``rows``) are artifacts of this row's id.
    """

    __tablename__ = "dataset_versions"
    __table_args__ = (
        UniqueConstraint("dataset", "version"),
        UniqueConstraint("job"),
        CheckConstraint("(columns IS NULL) = (rows IS NULL)", name="ready"),
        Index("ix_dataset_versions_digest", "dataset", "digest"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    version: Mapped[int]
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    filename: Mapped[str | None]
    types: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]
    rows: Mapped[int | None] = mapped_column(BigInteger)
    distinct_times: Mapped[dict[str, Any] | None]
    columns: Mapped[list[Any] | None]
