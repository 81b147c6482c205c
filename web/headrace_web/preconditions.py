"""``If-Match``: a change that is meant only for the thing as it was read (RFC 9110, 13.1.1)."""

from __future__ import annotations

from flask import request

from headrace.errors import PreconditionFailed


def wanted() -> bool:
    """Return whether the request has such a condition."""
    return "If-Match" in request.headers


def check(etag: str | None) -> None:
    """Raise PreconditionFailed unless ``etag``, of the thing as it is now (None: not there), is meant."""
    if not wanted():
        return
    tags = request.if_match
    if etag is None or not (tags.star_tag or tags.contains(etag)):
        now = "is not there" if etag is None else f'has the ETag "{etag}"'
        raise PreconditionFailed(f"If-Match does not hold: the thing {now} now.")
