"""Datasets: upload, versions, what is in them."""

from __future__ import annotations

import json
from typing import Any

from flask import Response

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import read_verified
from headrace.datasets import service as datasets
from headrace.errors import NotFound
from headrace_web.api import datasets as api
from headrace_web.calls import Call
from headrace_web.dashboard.pages import HTML, INPUT_PATTERN, Pages, following, page
from headrace_web.pagination import PageQuery

pages = Pages("datasets")

ROWS = 20
COLUMNS = 60
"""A table wider than this is cut: thousands of columns are no page."""


@pages.route("GET", "/datasets", role="viewer", query=PageQuery, produces=HTML)
def index(call: Call, query: PageQuery) -> Response:
    """List datasets, newest first, with a form to upload."""
    with call.parts.database.read() as session:
        found = datasets.datasets(session, call.project, limit=query.limit, cursor=query.position())
        shown = [(row, datasets.latest_ready(session, row)) for row in found.items]
    return page(
        "datasets.html",
        datasets=shown,
        following=following(query.following(found)),
        media_types=datasets.MEDIA_TYPES,
        pattern=INPUT_PATTERN,
    )


@pages.route("GET", "/datasets/<name:name>", role="viewer", query=PageQuery, produces=HTML)
def show(call: Call, name: str, query: PageQuery) -> Response:
    """List the versions of a dataset, newest first."""
    with call.parts.database.read() as session:
        found = datasets.versions(session, call.project, name, limit=query.limit, cursor=query.position())
        shown = [datasets.describe(session, row) for row in found.items]
    return page(
        "dataset.html",
        name=name,
        versions=shown,
        following=following(query.following(found)),
        media_types=datasets.MEDIA_TYPES,
    )


@pages.route(
    "POST",
    "/datasets/<name:name>/versions",
    role="submitter",
    query=api.UploadQuery,
    consumes=datasets.MEDIA_TYPES,
    returns=api.DatasetVersion,
    status=202,
    creates="name",
)
def upload(call: Call, name: str, query: api.UploadQuery) -> Response:
    """Take an upload: the body is the file itself, sent by a script of the page."""
    return api.upload(call, name, query)


@pages.route("GET", "/datasets/<name:name>/versions/<version:version>", role="viewer", produces=HTML)
def show_version(call: Call, name: str, version: int) -> Response:
    """Show one version: its columns with their profile, and its first rows."""
    with call.parts.database.read() as session:
        row = datasets.version(session, call.project, name, version)
        described = datasets.describe(session, row)
        files = {}
        for what in ("profile", "rows") if described.state == "ready" else ():
            try:
                files[what] = artifacts.artifact(session, row.id, what).digest
            except NotFound:
                continue
    found = {what: _read(call, digest) for what, digest in files.items()}
    rows = found.get("rows", {"columns": [], "rows": []})
    return page(
        "dataset_version.html",
        name=name,
        version=row,
        state=described.state,
        error=described.error,
        profile=list(found.get("profile", {}).get("columns", {}).items())[:COLUMNS],
        columns=rows["columns"][:COLUMNS],
        rows=rows["rows"][:ROWS],
        most=COLUMNS,
    )


def _read(call: Call, digest: str) -> Any:
    return json.loads(b"".join(read_verified(call.parts.store, digest)))
