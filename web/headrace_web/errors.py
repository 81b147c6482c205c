"""The one table from errors to HTTP answers, all of them ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from headrace import errors as e
from headrace.db import AWAY

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(NamedTuple):
    """A kind of problem: ``slug`` ends its ``type``, which leads to its paragraph on the docs page."""

    slug: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The problem's ``type``, a URI reference."""
        return f"/docs#problem/{self.slug}"


PROBLEMS: dict[type[Exception], Problem] = {
    e.IdempotencyKeyReused: Problem(
        "idempotency-key-reused", 422, "Idempotency key used with another request"
    ),
    e.Invalid: Problem("invalid", 422, "Some fields are wrong"),
    e.DigestMismatch: Problem("digest-mismatch", 400, "The bytes do not match their digest"),
    e.Malformed: Problem("malformed", 400, "The request cannot be read"),
    e.Unauthenticated: Problem("unauthenticated", 401, "A valid API key is needed"),
    e.Forbidden: Problem("forbidden", 403, "This key has no right to do this"),
    e.NotFound: Problem("not-found", 404, "Not found"),
    e.IdempotencyKeyInUse: Problem(
        "idempotency-key-in-use", 409, "A request with this key is being answered"
    ),
    e.Conflict: Problem("conflict", 409, "The state of the thing does not allow this"),
    e.PreconditionFailed: Problem("precondition-failed", 412, "The thing has changed since it was read"),
    e.TooLarge: Problem("too-large", 413, "The body is too large"),
    e.Unsupported: Problem("unsupported-media-type", 415, "This content type is not accepted here"),
    e.Limited: Problem("limited", 429, "A limit is reached"),
    e.StorageFull: Problem("insufficient-storage", 507, "The artifact store has no room left"),
    e.Unavailable: Problem("unavailable", 503, "The service cannot do this now"),
    Exception: Problem("internal", 500, "Something went wrong on the server"),
}
"""A subclass stands above its base, so that the first class that fits an error is the right one."""


def of(error: Exception) -> Problem:
    """Return the kind of problem that ``error`` is."""
    return next(problem for kind, problem in PROBLEMS.items() if isinstance(error, kind))


def of_status(status: int) -> Problem:
    """Return the kind of problem that an HTTP error status stands for, where no error of ours is known."""
    known = next((p for p in reversed(PROBLEMS.values()) if p.status == status), None)
    phrase = HTTPStatus(status).phrase
    return known or Problem(phrase.lower().replace(" ", "-"), status, phrase)


def document(problem: Problem, detail: str, **more: Any) -> dict[str, Any]:
    """Return the body of the answer; ``more`` are its extension members."""
    body = {"type": problem.type, "title": problem.title, "status": problem.status, "detail": detail}
    return body | more


def answer(error: Exception) -> Response:
    """Return what the client sees of ``error``. Details of an error that is a bug stay in the log."""
    if isinstance(error, HTTPException) and error.code is not None:
        return _of_werkzeug(error, error.code)
    if isinstance(error, AWAY):
        logger.warning("request %s: the database failed: %s", g.get("request_id"), error)
        error = e.Unavailable("The database cannot be reached, or is too busy; try again.")
    problem = of(error)
    if problem.status == 500:
        logger.error("request %s failed", g.get("request_id"), exc_info=error)
        detail = "This is a fault of the server, which has logged it under the id of this request."
    else:
        detail = str(error)
    more: dict[str, Any] = {}
    if isinstance(error, e.Invalid):
        more["errors"] = [{"loc": list(field.loc), "msg": field.msg} for field in error.errors]
    response = _response(document(problem, detail, instance=_instance(), **more))
    if isinstance(error, e.Unauthenticated):
        response.headers["WWW-Authenticate"] = 'Bearer realm="headrace"'
    if isinstance(error, e.Limited):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, e.Unavailable | e.IdempotencyKeyInUse):
        response.headers["Retry-After"] = "1"
    return response


def _of_werkzeug(error: HTTPException, status: int) -> Response:
    """An error of the framework: an unknown path, a wrong method, a range that cannot be satisfied, …"""
    problem = of_status(status)
    phrase = HTTPStatus(status).phrase
    detail = {404: "There is no such path.", 405: "This path does not take this method."}.get(
        status, error.description or phrase
    )
    response = _response(document(problem, detail, instance=_instance()))
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _instance() -> str:
    return quote(request.path[:500])


def _response(body: dict[str, Any]) -> Response:
    # A detail may quote what the client sent, a lone surrogate included: ASCII can carry any of it.
    text = json.dumps(body, ensure_ascii=True)
    return Response(text, status=body["status"], content_type=MEDIA_TYPE)


def register(app: Flask) -> None:
    """Answer every exception of ``app`` through the table."""
    app.register_error_handler(Exception, answer)
