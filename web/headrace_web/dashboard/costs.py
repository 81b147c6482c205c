"""Costs: what jobs have used, added up."""

from __future__ import annotations

from typing import Any, get_args

from flask import Response
from pydantic import model_validator

from headrace.jobs import costs
from headrace_web.api import costs as api
from headrace_web.calls import Call
from headrace_web.dashboard.pages import HTML, Pages, following, page

pages = Pages("costs")


class CostsPageQuery(api.CostsQuery):
    """The filters; a form sends those that are left open as empty."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value != ""}


@pages.route("GET", "/costs", role="viewer", query=CostsPageQuery, produces=HTML)
def index(call: Call, query: CostsPageQuery) -> Response:
    """Add up what jobs have used."""
    found = api.found(call, query)
    return page(
        "costs.html",
        totals=found.items,
        following=following(query.following(found)),
        query=query,
        choices=get_args(costs.By),
    )
