"""Where an act comes from: the request, its trace, and who makes it.

Everything that is done on the way carries it without being told: the audit row, the job that is submitted,
each line of the log. An entry point says it with `begin` (a web request, a command, an attempt of a job); a
thread that nobody has told acts for Headrace itself.

The trace is W3C's ``traceparent`` (w3.org/TR/trace-context, section 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_MOST_TRACEPARENT = 200


@dataclass(frozen=True, kw_only=True)
class Origin:
    """``actor`` is the id of a key, or a name in brackets where there is none."""

    actor: str | None = None
    project: str | None = None
    request_id: str | None = None
    traceparent: str | None = None


_NOBODY = Origin()
_current: ContextVar[Origin] = ContextVar("headrace_origin", default=_NOBODY)


def current() -> Origin:
    """Return the origin of what this thread does."""
    return _current.get()


def begin(origin: Origin) -> None:
    """Say that this thread acts for ``origin`` from now on."""
    _current.set(origin)


def identify(actor: str, project: str) -> None:
    """Say who makes the request that this thread answers, once that is known."""
    _current.set(replace(_current.get(), actor=actor, project=project))


def end() -> None:
    """Say that this thread acts for nobody any more."""
    _current.set(_NOBODY)


@contextmanager
def acting(origin: Origin) -> Iterator[None]:
    """Act for ``origin`` within the block."""
    token = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(token)


def is_request_id(text: str) -> bool:
    """Return whether ``text`` may be the id of a request."""
    return _REQUEST_ID.fullmatch(text) is not None


def valid_traceparent(text: str) -> str | None:
    """Return the trace context ``text``, or None where it is none: it is then as if it had not been sent."""
    match = _TRACEPARENT.fullmatch(text) if len(text) <= _MOST_TRACEPARENT else None
    if match is None:
        return None
    version, trace, parent, _, more = match.groups()
    if version == "ff" or not trace.strip("0") or not parent.strip("0") or (more and version == "00"):
        return None
    # Of a later version, only what this one knows is passed on.
    return text if version == "00" else f"00-{trace}-{parent}-{match[4]}"
