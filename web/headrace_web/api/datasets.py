"""Datasets and their versions."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from flask import Response, request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored, read_verified
from headrace.datasets import service as datasets
from headrace.datasets.tables import Dataset as DatasetRow
from headrace.datasets.tables import DatasetVersion as VersionRow
from headrace.errors import Conflict, Invalid
from headrace.specs.base import Column, ColumnType
from headrace_web import downloads, uploads
from headrace_web.calls import Answer, Call
from headrace_web.pagination import Page, PageQuery, Query
from headrace_web.routes import Routes
from headrace_web.shapes import Time

routes = Routes("datasets", "/api/v1/datasets")


class Dataset(BaseModel):
    """A dataset. `latest_version` is the number given last."""

    name: str
    created_at: Time
    latest_version: int | None


class DatasetVersion(BaseModel):
    """One uploaded file; when `ready`, with the table made of it, when `failed`, with the reason."""

    dataset: str
    version: int
    state: Annotated[str, Field(description="`ingesting`, `ready` or `failed`")]
    job: str
    digest: str
    size_bytes: int
    media_type: str
    filename: str | None
    created_at: Time
    created_by: str | None
    rows: int | None
    columns: list[Column] | None
    error: dict[str, Any] | None


class Rows(BaseModel):
    """The first rows: long text is cut short, an image or a sound by its size and a thumbnail."""

    columns: list[str]
    rows: list[dict[str, Any]]


class UploadQuery(Query):
    """The query of an upload."""

    filename: Annotated[str | None, Field(max_length=255, description="What the file is called")] = None
    types: Annotated[
        str | None,
        Field(max_length=100_000, description="`column:type,…`: these types instead of those found"),
    ] = None

    def column_types(self) -> dict[str, ColumnType]:
        """Return ``types`` by column. Raises Invalid."""
        found: dict[str, ColumnType] = {}
        known: tuple[ColumnType, ...] = get_args(ColumnType)
        for part in (self.types or "").split(",") if self.types else []:
            column, _, name = part.rpartition(":")
            chosen = next((kind for kind in known if kind == name), None)
            if not column or chosen is None:
                expected = f"should be column:type, the type one of {', '.join(known)}"
                raise Invalid.field("query", "types", msg=f"{part[:200]!r} {expected}")
            if column in found:
                raise Invalid.field("query", "types", msg=f"names the column {column[:200]!r} twice")
            found[column] = chosen
        return found


class DeleteQuery(Query):
    """The query of a deletion."""

    force: Annotated[bool, Field(description="Also where a model version has it in its lineage")] = False


class RowsQuery(Query):
    """The query of a preview."""

    limit: Annotated[int, Field(ge=1, le=200, description="At most so many rows")] = 50


def _dataset(row: DatasetRow) -> Dataset:
    return Dataset(name=row.name, created_at=row.created_at, latest_version=row.last_version or None)


def _version(session: Session, name: str, row: VersionRow) -> DatasetVersion:
    described = datasets.describe(session, row)
    return DatasetVersion(
        dataset=name,
        version=row.version,
        state=described.state,
        job=row.job,
        digest=row.digest,
        size_bytes=row.size_bytes,
        media_type=row.media_type,
        filename=row.filename,
        created_at=row.created_at,
        created_by=row.created_by,
        rows=row.rows,
        columns=None if row.columns is None else [Column.model_validate(column) for column in row.columns],
        error=described.error,
    )


@routes.route("GET", role="viewer", query=PageQuery, returns=Page[Dataset])
def index(call: Call, query: PageQuery) -> Page[Dataset]:
    """List datasets, newest first."""
    with call.parts.database.read() as session:
        found = datasets.datasets(session, call.project, limit=query.limit, cursor=query.position())
        return query.page(found, _dataset)


@routes.route("GET", "/<name:name>", role="viewer", returns=Dataset)
def show(call: Call, name: str) -> Dataset:
    """Show one dataset."""
    with call.parts.database.read() as session:
        return _dataset(datasets.dataset(session, call.project, name))


@routes.route(
    "POST",
    "/<name:name>/versions",
    role="submitter",
    query=UploadQuery,
    consumes=datasets.MEDIA_TYPES,
    returns=DatasetVersion,
    status=202,
    also=[200],
    creates="name",
    idempotent=True,
)
def upload(call: Call, name: str, query: UploadQuery) -> Response:
    """Upload a file as a new version.

    The body is the file itself. A job then makes a typed table of it. The same bytes again give the version
    that has them, with 200; if that one failed, it is ingested again. `Content-Digest: sha-256=:…:` is
    checked where it is given.
    """
    types = query.column_types()

    def act(session: Session, file: Stored) -> Answer:
        version, started = datasets.upload(
            session,
            project=call.project,
            name=name,
            file=file,
            media_type=request.mimetype,
            filename=query.filename,
            types=types,
            created_by=call.principal.key,
            now=call.now,
        )
        return Answer(
            body=_version(session, name, version),
            status=202 if started else 200,
            headers={"Location": f"/api/v1/datasets/{name}/versions/{version.version}"},
        )

    return uploads.take(call, act)


@routes.route("GET", "/<name:name>/versions", role="viewer", query=PageQuery, returns=Page[DatasetVersion])
def versions(call: Call, name: str, query: PageQuery) -> Page[DatasetVersion]:
    """List the versions of a dataset, newest first."""
    with call.parts.database.read() as session:
        found = datasets.versions(session, call.project, name, limit=query.limit, cursor=query.position())
        return query.page(found, lambda row: _version(session, name, row))


@routes.route("GET", "/<name:name>/versions/<version:version>", role="viewer", returns=DatasetVersion)
def show_version(call: Call, name: str, version: int) -> DatasetVersion:
    """Show one version."""
    with call.parts.database.read() as session:
        return _version(session, name, datasets.version(session, call.project, name, version))


@routes.route(
    "GET",
    "/<name:name>/versions/<version:version>/profile",
    role="viewer",
    produces="application/json",
    problems=[409],
)
def profile(call: Call, name: str, version: int) -> Response:
    """Show what is in each column: counts, missing and distinct values, range, quantiles, histogram.

    `why` says in words what its type was inferred from.
    """
    with call.parts.database.read() as session:
        stored = _made_of(session, call, name, version, "profile")
    return downloads.send(call.parts.store, stored, media_type="application/json")


@routes.route(
    "GET",
    "/<name:name>/versions/<version:version>/rows",
    role="viewer",
    query=RowsQuery,
    returns=Rows,
    problems=[409],
)
def rows(call: Call, name: str, version: int, query: RowsQuery) -> Rows:
    """Show the first rows, as the ingest kept them."""
    with call.parts.database.read() as session:
        stored = _made_of(session, call, name, version, "rows")
    kept = Rows.model_validate_json(b"".join(read_verified(call.parts.store, stored.digest)))
    return Rows(columns=kept.columns, rows=kept.rows[: query.limit])


@routes.route(
    "DELETE",
    "/<name:name>/versions/<version:version>",
    role="maintainer",
    query=DeleteQuery,
    status=204,
    problems=[409],
)
def delete(call: Call, name: str, version: int, query: DeleteQuery) -> Answer:
    """Delete a version. Refused while the lineage of a model version needs it, unless forced."""
    with call.parts.database.transaction() as session:
        datasets.delete_version(session, call.project, name, version, now=call.now, force=query.force)
    return Answer(body=None)


def _made_of(session: Session, call: Call, name: str, number: int, what: str) -> Stored:
    version = datasets.version(session, call.project, name, number)
    state = datasets.describe(session, version).state
    if state != "ready":
        raise Conflict(f"{name}@{number} is {state}; this is there once it is ready.")
    return artifacts.artifact(session, version.id, what)
