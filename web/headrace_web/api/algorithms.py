"""The catalogue of algorithms."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from headrace.errors import NotFound
from headrace.paging import Page as Found
from headrace.specs.algorithms import Algorithm as Entry
from headrace.specs.algorithms import catalogue
from headrace_web.calls import Call
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes

routes = Routes("algorithms", "/api/v1/algorithms")


class Algorithm(BaseModel):
    """An algorithm: what it is, what it takes, and the JSON Schema of its params."""

    name: str
    title: str
    summary: str
    source: str
    tasks: list[str]
    features: list[str]
    single_feature: bool
    needs: list[str]
    params: dict[str, Any] = Field(description="JSON Schema of `params` in a train spec")


def _algorithm(entry: Entry) -> Algorithm:
    return Algorithm(
        name=entry.name,
        title=entry.title,
        summary=entry.summary,
        source=entry.source,
        tasks=list(entry.tasks),
        features=list(entry.features),
        single_feature=entry.single_feature,
        needs=list(entry.needs),
        params=entry.schema_of_params(),
    )


@routes.route("GET", role="viewer", query=PageQuery, returns=Page[Algorithm])
def index(call: Call, query: PageQuery) -> Page[Algorithm]:
    """List the algorithms that this server offers, by name."""
    after = query.position() or ""
    entries = [entry for name, entry in catalogue().items() if name > after]
    shown = entries[: query.limit]
    following = shown[-1].name if len(entries) > len(shown) else None
    return query.page(Found(shown, following), _algorithm)


@routes.route("GET", "/<name:algorithm>", role="viewer", returns=Algorithm)
def show(call: Call, algorithm: str) -> Algorithm:
    """Show one algorithm."""
    entry = catalogue().get(algorithm)
    if entry is None:
        raise NotFound(f"There is no algorithm {algorithm!r}.")
    return _algorithm(entry)
