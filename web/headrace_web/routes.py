"""Routes: one object knows all of an endpoint, and authorises, validates and documents it.

Why no OpenAPI framework: those at hand keep only the first element of an error's ``loc``, read malformed JSON
as an empty object, or answer 404 in HTML, and none of them knows roles, so that authorisation would live in a
second place. What is left to write once those are replaced is this module; schemas are pydantic's own.

Of a request, a route checks in this order: the key (401), its rate (429), the project and role (403), the
path's names, the query (422), the content type (415), the body's size (413), syntax (400) and fields (422).
Only then the view.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.routing import BaseConverter

from headrace.errors import FieldError, Invalid, NotFound
from headrace.specs.algorithms import field_errors
from headrace.specs.base import NAME_PATTERN, REF_PATTERN
from headrace_web import auth, body
from headrace_web.calls import Answer, Call, Parts
from headrace_web.pagination import Query

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Role = Literal["public", "viewer", "submitter", "maintainer", "admin"]
View = Callable[..., Any]
V = TypeVar("V", bound=View)


class Nothing(BaseModel):
    """No query parameters, or a body without fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Converter(BaseConverter):
    """One parameter of a path; ``schema`` is its JSON Schema."""

    schema: ClassVar[dict[str, Any]]


class NameConverter(Converter):
    """A name that people give. Any text matches; `Route` checks it, to say what a name looks like."""

    regex = "[^/]+"
    part_isolating = True
    schema = {"type": "string", "pattern": NAME_PATTERN}


class RefConverter(Converter):
    """A model's name, or name@version, or name@alias."""

    regex = "[^/]+"
    part_isolating = True
    schema = {"type": "string", "pattern": REF_PATTERN}


class VersionConverter(Converter):
    """The number of a version, from 1."""

    regex = "[1-9][0-9]{0,8}"
    schema = {"type": "integer", "minimum": 1, "maximum": 999_999_999}

    def to_python(self, value: str) -> int:
        """Return the number."""
        return int(value)


class IdConverter(Converter):
    """An id that Headrace gave."""

    regex = "[a-z]{1,8}_[0-9a-zA-Z]{1,64}"
    schema = {"type": "string"}


CONVERTERS: dict[str, type[Converter]] = {
    "name": NameConverter,
    "ref": RefConverter,
    "version": VersionConverter,
    "id": IdConverter,
}
_PARAMETER = re.compile(r"<(\w+):(\w+)>")
_NAME = re.compile(NAME_PATTERN)


@dataclass(frozen=True, kw_only=True)
class Route:
    """One endpoint.

    ``query`` and ``body`` are the models of what comes in, ``returns`` that of what goes out; ``produces``
    is the media type of what is no JSON (neither: nothing at all, for 204). ``consumes`` are the media types
    of a body that the view reads itself. ``creates`` is the path's parameter that names what the request may
    create: a bad name is then the client's 422, elsewhere a 404. ``also`` are other statuses of success than
    ``status``, with the same body; ``problems`` are the error statuses that this endpoint has besides the
    usual ones.
    """

    method: Method
    path: str
    role: Role
    view: View
    tag: str
    query: type[BaseModel]
    body: type[BaseModel] | None
    consumes: tuple[str, ...]
    returns: type[BaseModel] | None
    produces: str | None
    status: int
    also: tuple[int, ...]
    creates: str | None
    idempotent: bool
    problems: tuple[int, ...]

    @property
    def name(self) -> str:
        """The operation's id, unique."""
        return f"{self.tag}.{self.view.__name__}"

    @property
    def body_required(self) -> bool:
        """Whether a request must have a body: not where all of its fields have a default."""
        return self.body is not None and any(f.is_required() for f in self.body.model_fields.values())

    @property
    def parameters(self) -> dict[str, type[Converter]]:
        """The path's parameters, in order."""
        return {name: CONVERTERS[kind] for kind, name in _PARAMETER.findall(self.path)}

    def __call__(self, **path: Any) -> Response:
        """Answer the request at hand."""
        parts = Parts.of_current()
        first = self.authorise(parts)
        for name, kind in self.parameters.items():
            if kind is NameConverter and not _NAME.fullmatch(path[name]):
                self._refuse_name(name)
        given = dict(path)
        query = self._read_query()
        if self.query not in (Query, Nothing):
            given["query"] = query
        if self.consumes:
            body.check_type(request, self.consumes)
        elif self.body_required or ((self.body is not None or self.method == "POST") and _has_body()):
            raw = body.read(request, parts.settings.max_body_bytes)
            value = _validated(self.body or Nothing, raw)
            if self.body is not None:
                given["body"] = value
            if isinstance(first, Call):
                first = replace(first, content=raw)
        elif self.body is not None:
            given["body"] = self.body()
        answer = self.view(first, **given)
        if isinstance(answer, Response):
            return answer
        if not isinstance(answer, Answer):
            answer = Answer(body=answer)
        return answer.response(self.status)

    def authorise(self, parts: Parts) -> Parts | Call:
        """Return what the view gets first: the call of who may make it, or the parts where all may."""
        return parts if self.role == "public" else auth.authorise(parts, self.role)

    def _refuse_name(self, parameter: str) -> None:
        if self.creates == parameter:
            raise Invalid.field("path", parameter, msg=f"a name should match {NAME_PATTERN}")
        raise NotFound

    def _read_query(self) -> BaseModel:
        """Return the query parameters, validated. Raises Invalid with loc ``["query", name]``."""
        given: dict[str, Any] = {}
        errors = []
        for name, values in request.args.lists():
            field = self.query.model_fields.get(name)
            many = field is not None and _is_list(field.annotation)
            if any("\x00" in value for value in values):
                errors.append(FieldError(loc=("query", name), msg="may not hold the character NUL"))
            elif len(values) > 1 and not many:
                errors.append(FieldError(loc=("query", name), msg="is given more than once"))
            else:
                given[name] = values if many else values[0]
        try:
            query = self.query.model_validate(given)
        except ValidationError as error:
            found = field_errors(error)
            errors += [FieldError(loc=("query", *e.loc[:1]), msg=e.msg) for e in found]
        if errors:
            raise Invalid(errors)
        return query


class Routes:
    """The routes of one resource, written with `route` and put into an app with `register`."""

    route_class: ClassVar[type[Route]] = Route

    def __init__(self, tag: str, prefix: str = "") -> None:
        self.tag = tag
        self.prefix = prefix
        self.routes: list[Route] = []

    def route(
        self,
        method: Method,
        path: str = "",
        *,
        role: Role,
        query: type[BaseModel] | None = None,
        body: type[BaseModel] | None = None,
        consumes: Sequence[str] = (),
        returns: type[BaseModel] | None = None,
        produces: str | None = None,
        status: int = 200,
        also: Sequence[int] = (),
        creates: str | None = None,
        idempotent: bool = False,
        problems: Sequence[int] = (),
    ) -> Callable[[V], V]:
        """Make the decorated view a route; see `Route`. Raises TypeError where view and route do not fit."""
        if query is None:
            query = Nothing if role == "public" else Query
        elif role != "public" and not issubclass(query, Query):
            raise TypeError(f"{method} {path}: the query's model should be a {Query.__name__}")

        def register(view: V) -> V:
            route = self.route_class(
                method=method,
                path=self.prefix + path,
                role=role,
                view=view,
                tag=self.tag,
                query=query,
                body=body,
                consumes=tuple(consumes),
                returns=returns,
                produces=produces,
                status=status,
                also=tuple(also),
                creates=creates,
                idempotent=idempotent,
                problems=tuple(problems),
            )
            _check_signature(route)
            self.routes.append(route)
            return view

        return register

    def register(self, app: Flask) -> None:
        """Add the routes to ``app``."""
        for route in self.routes:
            app.add_url_rule(route.path, route.name, route.__call__, methods=[route.method])


def _check_signature(route: Route) -> None:
    wanted = set(route.parameters)
    if route.query not in (Query, Nothing):
        wanted.add("query")
    if route.body is not None:
        wanted.add("body")
    found = list(inspect.signature(route.view).parameters)[1:]
    if set(found) != wanted:
        raise TypeError(f"{route.name} takes {found}, but its route gives {sorted(wanted)}")
    if not route.view.__doc__:
        raise TypeError(f"{route.name} has no docstring, which is its text in the OpenAPI document")


def _validated(model: type[BaseModel], raw: bytes) -> BaseModel:
    """Return the JSON ``raw`` as ``model``. Raises Malformed, Invalid.

    Validated from the text, not from the parsed value, since a strict model takes a time or a tuple from JSON
    but not from Python's str or list.
    """
    body.parse(raw)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise Invalid(field_errors(error)) from None


def _has_body() -> bool:
    return bool(request.content_length) or "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(get_origin(arg) is list for arg in get_args(annotation))
