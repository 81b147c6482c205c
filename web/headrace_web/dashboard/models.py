"""Models: versions, how good they are, and where their aliases point."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from headrace.artifacts import service as artifacts
from headrace.errors import Invalid, NotFound
from headrace.jobs.kinds import explain
from headrace.registry import service as registry
from headrace.specs import keras_file
from headrace_web.api import models as api
from headrace_web.api.jobs import Job
from headrace_web.calls import Call
from headrace_web.dashboard import bars, evaluations, explanations
from headrace_web.dashboard.pages import FORM, HTML, INPUT_PATTERN, Pages, following, page, to
from headrace_web.pagination import PageQuery

pages = Pages("models")

HEADLINES = (
    *("accuracy", "f1_macro", "roc_auc", "pr_auc", "log_loss", "r2", "mae", "rmse"),
    *("adjusted_rand", "silhouette", "explained_variance", "anomaly_rate"),
)
"""Metrics that lists show, where a version has them."""


@pages.route("GET", "/models", role="viewer", query=PageQuery, produces=HTML)
def index(call: Call, query: PageQuery) -> Response:
    """List models, newest first."""
    with call.parts.database.read() as session:
        found = registry.models(session, call.project, limit=query.limit, cursor=query.position())
        shown = [
            (row, registry.latest(session, row), registry.aliases_of(session, row)) for row in found.items
        ]
    link = following(query.following(found))
    return page("models.html", models=shown, following=link, headlines=HEADLINES, pattern=INPUT_PATTERN)


@pages.route(
    "POST",
    "/models/<name:name>/versions",
    role="submitter",
    query=api.UploadQuery,
    consumes=(keras_file.MEDIA_TYPE,),
    returns=Job,
    status=202,
    creates="name",
)
def upload(call: Call, name: str, query: api.UploadQuery) -> Response:
    """Take an upload: the body is the file itself, sent by a script of the page."""
    return api.upload(call, name, query)


@pages.route("GET", "/models/<name:name>", role="viewer", query=PageQuery, produces=HTML)
def show(call: Call, name: str, query: PageQuery) -> Response:
    """Show a model: its aliases and its versions, newest first."""
    return _model(call, name, query)


@pages.route("GET", "/models/<name:name>/versions/<version:version>", role="viewer", produces=HTML)
def show_version(call: Call, name: str, version: int) -> Response:
    """Show one version: how good it is on its test rows, and what it was made of."""
    with call.parts.database.read() as session:
        row = registry.version(session, call.project, name, version)
        aliases = registry.aliases_of(session, registry.model(session, call.project, name))
        stored = artifacts.attached(session, row.id).get("evaluation")
        explained = explanations.of_version(session, row)
    return page(
        "model_version.html",
        name=name,
        version=row,
        explanations=[explanations.shown(call, each) for _, each in explained if each is not None],
        all_explanations=[each for each, _ in explained],
        no_explanation=explain.without_score(f"{name}@{row.version}", row),
        bar=bars,
        aliases=[alias for alias, number in aliases.items() if number == row.version],
        **({} if stored is None else evaluations.shown(call, stored)),
    )


@pages.route(
    "GET",
    "/models/<name:name>/versions/<version:version>/archive",
    role="viewer",
    produces="application/zip",
)
def archive(call: Call, name: str, version: int) -> Response:
    """Download the packaged model."""
    return api.archive(call, name, version)


@pages.route("POST", "/models/<name:name>/aliases", role="maintainer", consumes=[FORM], produces=HTML)
def move_alias(call: Call, name: str) -> Response:
    """Point an alias at a version, or take it away."""
    alias, version = request.form.get("alias", "").strip(), request.form.get("version", "")
    try:
        with call.parts.database.transaction() as session:
            who: dict[str, Any] = {"by": call.principal.key, "now": call.now}
            if version == "none":
                registry.delete_alias(session, call.project, name, alias, **who)
            else:
                registry.set_alias(session, call.project, name, alias, _number(version), **who)
    except Invalid as error:
        return _model(call, name, PageQuery(), error=error, alias=alias)
    return to(f"/models/{name}")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise NotFound(f"There is no version {text[:100]!r}.")
    return int(text)


def _model(
    call: Call, name: str, query: PageQuery, error: Invalid | None = None, alias: str = ""
) -> Response:
    with call.parts.database.read() as session:
        aliases = registry.aliases_of(session, registry.model(session, call.project, name))
        found = registry.versions(session, call.project, name, limit=query.limit, cursor=query.position())
    named = {metric for row in found.items for metric in row.metrics}
    return page(
        "model.html",
        status=422 if error else 200,
        name=name,
        aliases=aliases,
        versions=found.items,
        following=following(query.following(found)),
        headlines=[metric for metric in HEADLINES if metric in named],
        error=error,
        alias=alias,
    )
