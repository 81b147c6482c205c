"""The OpenAPI 3.1 document, made of the routes: what it says is what they check."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

import headrace
from headrace_web import errors
from headrace_web.idempotency import HEADER
from headrace_web.routes import Route

_REF = "#/components/schemas/{model}"
_INPUT = "validation"
_OUTPUT = "serialization"


class FieldProblem(BaseModel):
    """One wrong field."""

    loc: Annotated[
        list[str | int], Field(description="Path into the body, or `query`, `path`, `header` and a name")
    ]
    msg: str


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: Annotated[list[FieldProblem] | None, Field(description="With 422: each wrong field")] = None


def build(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the document of ``routes``."""
    wanted: dict[tuple[type[BaseModel], Any], None] = {(ProblemDetails, _OUTPUT): None}
    for route in routes:
        if route.body is not None:
            wanted[route.body, _INPUT] = None
        if route.returns is not None:
            wanted[route.returns, _OUTPUT] = None
    schemas, definitions = models_json_schema(list(wanted), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, schemas)
        paths.setdefault(re.sub(r"<\w+:(\w+)>", r"{\1}", route.path), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": headrace.__version__,
            "description": "Train, version, reproduce and serve models.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: `hr_…`"}
            },
        },
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
    }


def _operation(route: Route, schemas: Any) -> dict[str, Any]:
    summary, _, description = (route.view.__doc__ or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": route.name.replace(".", "_"),
        "tags": [route.tag],
        "summary": summary.rstrip("."),
        "description": " ".join(description.split()),
        "x-role": route.role,
        "parameters": _parameters(route),
        "responses": _responses(route, schemas),
    }
    if route.role == "public":
        operation["security"] = []
    if route.consumes:
        content: dict[str, Any] = {media_type: {"schema": {}} for media_type in route.consumes}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.body is not None:
        content = {"application/json": {"schema": schemas[route.body, _INPUT]}}
        operation["requestBody"] = {"required": route.body_required, "content": content}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": kind.schema}
        for name, kind in route.parameters.items()
    ]
    schema = route.query.model_json_schema(ref_template=_REF)
    for name, field in schema.get("properties", {}).items():
        description = field.pop("description", None)
        found.append(
            {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": field}
            | ({"description": description} if description else {})
        )
    if route.idempotent:
        found.append(
            {
                "name": HEADER,
                "in": "header",
                "required": False,
                "description": "What is sent twice with the same key happens once",
                "schema": {"type": "string", "minLength": 1, "maxLength": 257, "pattern": "^[!-~]+$"},
            }
        )
    return found


def _responses(route: Route, schemas: Any) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.returns is not None:
        success["content"] = {"application/json": {"schema": schemas[route.returns, _OUTPUT]}}
    if route.produces is not None:
        success.setdefault("content", {})[route.produces] = {"schema": {}}
    responses = {str(route.status): success}
    for status in route.also:
        responses[str(status)] = success | {"description": HTTPStatus(status).phrase}
    for status in sorted(_problems(route)):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {errors.MEDIA_TYPE: {"schema": schemas[ProblemDetails, _OUTPUT]}},
        }
    return responses


def _problems(route: Route) -> set[int]:
    """The error statuses that ``route`` may answer with, besides 500."""
    found = {400, 422, *route.problems}
    if route.role != "public":
        found |= {401, 403, 404, 429}
    if route.consumes or route.body is not None or route.method == "POST":
        found |= {413, 415}
    if route.idempotent:
        found.add(409)
    return found
