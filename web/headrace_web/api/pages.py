"""The documentation of the API, for programs and for people. No script runs on the page and nothing is loaded
from elsewhere, which its Content-Security-Policy says."""

from __future__ import annotations

import json
from functools import cache

from flask import Response, render_template

from headrace_web import errors, openapi
from headrace_web.calls import Parts, json_response
from headrace_web.routes import Routes

routes = Routes("pages")

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)


@cache
def _document() -> str:
    from headrace_web.api import all_routes

    return json.dumps(openapi.build(all_routes()))


@routes.route("GET", "/openapi.json", role="public", produces="application/json")
def openapi_json(parts: Parts) -> Response:
    """Return the OpenAPI 3.1 document of this API."""
    return json_response(_document(), 200)


@routes.route("GET", "/docs", role="public", produces="text/html")
def docs(parts: Parts) -> Response:
    """Show the documentation of this API."""
    problems = {problem.slug: problem for problem in errors.PROBLEMS.values()}
    return _page("docs.html", document=json.loads(_document()), problems=problems.values())


def _page(template: str, **values: object) -> Response:
    response = Response(render_template(template, **values), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    return response
