"""Models, their versions, and the aliases that point at them."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import BaseModel, Field, field_validator
from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.errors import Invalid, NotFound
from headrace.registry import service as registry
from headrace.registry import uploads as registry_uploads
from headrace.registry.tables import Model as ModelRow
from headrace.registry.tables import ModelExplanation as ExplanationRow
from headrace.registry.tables import ModelVersion as VersionRow
from headrace.specs import keras_file
from headrace.specs.base import Spec
from headrace_web import downloads, preconditions, uploads
from headrace_web.api import evaluations
from headrace_web.api.evaluations import Evaluation
from headrace_web.api.jobs import Job, accepted
from headrace_web.calls import Answer, Call
from headrace_web.pagination import Page, PageQuery, Query
from headrace_web.routes import Routes
from headrace_web.shapes import Time

routes = Routes("models", "/api/v1/models")

MOST_COMPARED = 20


class Model(BaseModel):
    """A model, its newest version, and which version each alias points at."""

    name: str
    created_at: Time
    latest_version: int | None
    aliases: dict[str, int]


class DifferentArray(BaseModel):
    """A learned array that differs: in how many of its values, and by how much (null where shapes differ)."""

    name: str
    values: int
    differing: int
    largest: float | None


class Reproduction(BaseModel):
    """What the last reproduce job found when it made a version again."""

    identical: bool
    weights_digest: str
    expected_weights_digest: str
    differences: list[str]
    arrays: list[DifferentArray]
    differing_arrays: int
    job: str
    at: Time


class ModelVersion(BaseModel):
    """What one job learned, and all that is needed to make it again."""

    model: str
    version: int
    created_at: Time
    job: str
    algorithm: str
    task: str
    params: dict[str, Any]
    metrics: dict[str, Any]
    signature: dict[str, Any]
    lineage: dict[str, Any]
    weights_digest: str
    digest: str
    size_bytes: int
    aliases: list[str]
    reproduced: Reproduction | None


class VersionExplanation(BaseModel):
    """An explain job that explains a version; `/jobs/{job}/explanation` is what it has found."""

    job: str
    method: str
    dataset: str
    created_at: Time


class Compared(BaseModel):
    """One version in a comparison."""

    version: int
    algorithm: str
    params: dict[str, Any]
    metrics: dict[str, Any]


class Comparison(BaseModel):
    """Versions of a model side by side, and the params and metrics in which they differ."""

    model: str
    versions: list[Compared]
    differing_params: list[str]
    differing_metrics: list[str]


class Alias(BaseModel):
    """An alias and the version that it points at."""

    model: str
    alias: str
    version: int


class AliasTarget(Spec):
    """Where an alias is to point."""

    version: Annotated[int, Field(ge=1, le=999_999_999)]


class UploadQuery(Query):
    """The query of an upload."""

    filename: Annotated[str | None, Field(max_length=255, description="What the file is called")] = None


class CompareQuery(Query):
    """The query of a comparison."""

    versions: Annotated[str, Field(description=f"Version numbers, at most {MOST_COMPARED}: `1,3`")]

    @field_validator("versions")
    @classmethod
    def _numbers(cls, value: str) -> str:
        parts = value.split(",")
        if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
            raise ValueError("should be version numbers, separated by commas")
        if len(parts) > MOST_COMPARED or len(set(parts)) < len(parts):
            raise ValueError(f"should be at most {MOST_COMPARED} different version numbers")
        return value


def _model(session: Session, row: ModelRow) -> Model:
    latest = registry.latest(session, row)
    return Model(
        name=row.name,
        created_at=row.created_at,
        latest_version=None if latest is None else latest.version,
        aliases=registry.aliases_of(session, row),
    )


def _version(name: str, row: VersionRow, aliases: dict[str, int]) -> ModelVersion:
    return ModelVersion(
        model=name,
        version=row.version,
        created_at=row.created_at,
        job=row.job,
        algorithm=row.algorithm,
        task=row.task,
        params=row.params,
        metrics=row.metrics,
        signature=row.signature,
        lineage=row.lineage,
        weights_digest=row.weights_digest,
        digest=row.digest,
        size_bytes=row.size_bytes,
        aliases=[alias for alias, number in aliases.items() if number == row.version],
        reproduced=None if row.reproduced is None else Reproduction.model_validate(row.reproduced),
    )


@routes.route("GET", role="viewer", query=PageQuery, returns=Page[Model])
def index(call: Call, query: PageQuery) -> Page[Model]:
    """List models, newest first."""
    with call.parts.database.read() as session:
        found = registry.models(session, call.project, limit=query.limit, cursor=query.position())
        return query.page(found, lambda row: _model(session, row))


@routes.route("GET", "/<name:name>", role="viewer", returns=Model)
def show(call: Call, name: str) -> Model:
    """Show one model."""
    with call.parts.database.read() as session:
        return _model(session, registry.model(session, call.project, name))


@routes.route(
    "POST",
    "/<name:name>/versions",
    role="submitter",
    query=UploadQuery,
    consumes=(keras_file.MEDIA_TYPE,),
    returns=Job,
    status=202,
    creates="name",
    idempotent=True,
    problems=[429],
)
def upload(call: Call, name: str, query: UploadQuery) -> Response:
    """Upload a network as a `.keras` file (Keras 3) to start from.

    The body is the file itself. The answer is the job that reads it: layers of the allow-list of `keras`, one
    image or table in, and nothing that runs code. When it has succeeded there is a new version, which has
    learned but predicts nothing by itself: its `task` is `backbone`, and train jobs of `image_transfer` or
    `keras` can name it as their `base`. `Content-Digest: sha-256=:…:` is checked where it is given.
    """

    def act(session: Session, file: Stored) -> Answer:
        return accepted(
            registry_uploads.upload(
                session,
                project=call.project,
                name=name,
                file=file,
                filename=query.filename,
                created_by=call.principal.key,
                now=call.now,
            )
        )

    return uploads.take(call, act, head=keras_file.HEAD, look=_refuse_others)


@routes.route("GET", "/<name:name>/versions", role="viewer", query=PageQuery, returns=Page[ModelVersion])
def versions(call: Call, name: str, query: PageQuery) -> Page[ModelVersion]:
    """List the versions of a model, newest first."""
    with call.parts.database.read() as session:
        found = registry.versions(session, call.project, name, limit=query.limit, cursor=query.position())
        aliases = registry.aliases_of(session, registry.model(session, call.project, name))
        return query.page(found, lambda row: _version(name, row, aliases))


@routes.route("GET", "/<name:name>/versions/<version:version>", role="viewer", returns=ModelVersion)
def show_version(call: Call, name: str, version: int) -> ModelVersion:
    """Show one version."""
    with call.parts.database.read() as session:
        row = registry.version(session, call.project, name, version)
        return _version(name, row, registry.aliases_of(session, registry.model(session, call.project, name)))


@routes.route(
    "GET",
    "/<name:name>/versions/<version:version>/evaluation",
    role="viewer",
    returns=Evaluation,
)
def evaluation(call: Call, name: str, version: int) -> Response:
    """Show how good a version is on its test rows.

    Metrics with intervals and a trivial baseline, a verdict in words, and what is behind them; and what was
    noticed of the columns before it was trained.
    """
    with call.parts.database.read() as session:
        row = registry.version(session, call.project, name, version)
        stored = artifacts.artifact(session, row.id, "evaluation")
    return evaluations.send(call, stored)


@routes.route(
    "GET",
    "/<name:name>/versions/<version:version>/explanations",
    role="viewer",
    query=PageQuery,
    returns=Page[VersionExplanation],
)
def explanations(call: Call, name: str, version: int, query: PageQuery) -> Page[VersionExplanation]:
    """List what explain jobs have found of a version, newest first."""
    with call.parts.database.read() as session:
        row = registry.version(session, call.project, name, version)
        found = registry.explanations(session, row, limit=query.limit, cursor=query.position())
        return query.page(found, _explanation)


@routes.route(
    "GET",
    "/<name:name>/versions/<version:version>/archive",
    role="viewer",
    produces="application/zip",
    problems=[416],
)
def archive(call: Call, name: str, version: int) -> Response:
    """Download the packaged model, whole or a range of it."""
    with call.parts.database.read() as session:
        row = registry.version(session, call.project, name, version)
        stored = artifacts.artifact(session, row.id, "package")
    filename = f"{name}-{version}.zip"
    return downloads.send(call.parts.store, stored, media_type="application/zip", filename=filename)


@routes.route("GET", "/<name:name>/compare", role="viewer", query=CompareQuery, returns=Comparison)
def compare(call: Call, name: str, query: CompareQuery) -> Comparison:
    """Show params and metrics of some versions side by side."""
    numbers = [int(part) for part in query.versions.split(",")]
    with call.parts.database.read() as session:
        rows = [registry.version(session, call.project, name, number) for number in numbers]
    compared = [
        Compared(version=row.version, algorithm=row.algorithm, params=row.params, metrics=row.metrics)
        for row in rows
    ]
    return Comparison(
        model=name,
        versions=compared,
        differing_params=_differing([row.params for row in rows]),
        differing_metrics=_differing([row.metrics for row in rows]),
    )


@routes.route("GET", "/<name:name>/aliases/<name:alias>", role="viewer", returns=Alias)
def show_alias(call: Call, name: str, alias: str) -> Answer:
    """Show where an alias points. The answer's `ETag` serves `If-Match` in a later PUT or DELETE."""
    with call.parts.database.read() as session:
        aliases = registry.aliases_of(session, registry.model(session, call.project, name))
    if alias not in aliases:
        raise NotFound(f"Model {name!r} has no alias {alias!r}.")
    return _alias(name, alias, aliases[alias])


@routes.route(
    "PUT",
    "/<name:name>/aliases/<name:alias>",
    role="maintainer",
    body=AliasTarget,
    returns=Alias,
    creates="alias",
    problems=[412],
)
def set_alias(call: Call, name: str, alias: str, body: AliasTarget) -> Answer:
    """Point an alias at a version, in one step."""
    with call.parts.database.transaction() as session:
        _check_alias(session, call, name, alias)
        registry.model(session, call.project, name)
        try:
            registry.set_alias(
                session, call.project, name, alias, body.version, by=call.principal.key, now=call.now
            )
        except NotFound as error:
            raise Invalid.field("version", msg=error.detail) from None
    return _alias(name, alias, body.version)


@routes.route("DELETE", "/<name:name>/aliases/<name:alias>", role="maintainer", status=204, problems=[412])
def delete_alias(call: Call, name: str, alias: str) -> Answer:
    """Take an alias away; its history is kept."""
    with call.parts.database.transaction() as session:
        _check_alias(session, call, name, alias)
        registry.delete_alias(session, call.project, name, alias, by=call.principal.key, now=call.now)
    return Answer(body=None)


@routes.route(
    "DELETE", "/<name:name>/versions/<version:version>", role="maintainer", status=204, problems=[409]
)
def delete_version(call: Call, name: str, version: int) -> Answer:
    """Delete a version. Refused while an alias or a schedule needs it."""
    with call.parts.database.transaction() as session:
        registry.delete_version(session, call.project, name, version, now=call.now)
    return Answer(body=None)


def _explanation(row: ExplanationRow) -> VersionExplanation:
    return VersionExplanation(job=row.job, method=row.method, dataset=row.dataset, created_at=row.created_at)


def _refuse_others(head: bytes) -> None:
    problem = keras_file.wrong_start(head)
    if problem:
        raise Invalid.field("body", msg=problem)


def _alias(name: str, alias: str, version: int) -> Answer:
    return Answer(body=Alias(model=name, alias=alias, version=version), headers={"ETag": f'"{version}"'})


def _check_alias(session: Session, call: Call, name: str, alias: str) -> None:
    """Check ``If-Match`` against the alias, and keep others from moving it until this transaction ends."""
    if not preconditions.wanted():
        return
    model = registry.model(session, call.project, name)
    session.refresh(model, with_for_update=True)
    version = registry.aliases_of(session, model).get(alias)
    preconditions.check(None if version is None else str(version))


def _differing(found: list[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for values in found for name in values)
    return [name for name in names if any(values.get(name) != found[0].get(name) for values in found)]
