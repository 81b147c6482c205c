"""What all pages share: their routes, who is signed in, form tokens, and how things are shown."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from flask import Flask, Response, g, redirect, render_template, request
from sqlalchemy.orm import Session

from headrace.access import sign_ins
from headrace.access.service import Principal
from headrace.errors import Forbidden, Malformed, Unauthenticated
from headrace.specs.base import NAME_PATTERN
from headrace_web import auth, errors
from headrace_web.calls import Call, Parts
from headrace_web.routes import Route, Routes

COOKIE = "headrace_session"
FORM = "application/x-www-form-urlencoded"
HTML = "text/html"
SIGN_IN = "/sign-in"
INPUT_PATTERN = NAME_PATTERN.strip("^$").replace("._-", r"._\-")
"""What a name matches, as browsers want it: by stricter rules a dash in brackets is escaped."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not no-referrer: browsers would then hide the origin of forms, too.
    "Referrer-Policy": "same-origin",
}


class PageRoute(Route):
    """One page or one form: a session in place of a key, and HTML in place of problem+json."""

    def authorise(self, parts: Parts) -> Parts | Call:
        """Return the call of who is signed in; for an unsafe method, only of one of our own forms."""
        first: Parts | Call = parts
        if self.role != "public":
            first = g.call = auth.authorise(parts, self.role, signed_in)
        if self.method != "GET":
            check_form()
        return first

    def __call__(self, **path: Any) -> Response:
        """Answer the request at hand, with a page also where something is wrong."""
        try:
            response = super().__call__(**path)
        except Exception as error:
            if not wants_html():
                raise
            response = self._explain(error)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _explain(self, error: Exception) -> Response:
        if isinstance(error, Unauthenticated):
            back = request.full_path.rstrip("?") if self.method == "GET" else "/"
            return to(f"{SIGN_IN}?{urlencode({'next': back})}" if back != "/" else SIGN_IN)
        problem = errors.answer(error)
        response = page("problem.html", status=problem.status_code, problem=problem.get_json())
        for name in ("Retry-After", "Allow"):
            if name in problem.headers:
                response.headers[name] = problem.headers[name]
        return response


class Pages(Routes):
    """The pages of one resource."""

    route_class = PageRoute
    routes: list[PageRoute]  # type: ignore[assignment]

    def __init__(self, resource: str) -> None:
        super().__init__(f"dashboard.{resource}")


def wants_html() -> bool:
    """Return whether the request comes from a browser that shows the answer, not from a script."""
    kinds = [HTML, "application/json", "text/event-stream"]
    return request.accept_mimetypes.best_match(kinds, default=HTML) == HTML


def signed_in(session: Session, now: datetime) -> Principal:
    """Return who is signed in. Raises Unauthenticated."""
    return sign_ins.principal(session, request.cookies.get(COOKIE, ""), now)


def check_form() -> None:
    """Raise Forbidden unless the request comes from a form that this server gave to this very session."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise Forbidden("This was sent by a page of another site.")
    given = request.headers.get("X-Form-Token") or request.form.get("form_token", "")
    if not sign_ins.is_form_token(request.cookies.get(COOKIE, ""), given):
        raise Forbidden("This form is out of date. Go back, load the page again, and send it once more.")
    if any("\x00" in text for text in request.form.values()):
        raise Malformed("The form holds the character NUL, which no text may have.")


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page. Templates find who is signed in as ``me``, and the time as ``now``."""
    call: Call | None = g.get("call")
    shared = {
        "me": call.principal if call else None,
        "now": Parts.of_current().clock(),
        "form_token": sign_ins.form_token(request.cookies.get(COOKIE, "")),
        "section": request.path.split("/")[1],
    }
    return Response(
        render_template(template, **(shared | values)), status=status, content_type=f"{HTML}; charset=utf-8"
    )


def to(path: str) -> Response:
    """Send the browser to ``path``, which it gets anew."""
    return redirect(path, 303)  # type: ignore[return-value]


def following(cursor: str | None) -> str | None:
    """Return the link to the next page of the list at hand."""
    if cursor is None:
        return None
    kept = {name: value for name, value in request.args.items() if name != "cursor" and value}
    return f"{request.path}?{urlencode(kept | {'cursor': cursor})}"


def prepare(app: Flask) -> None:
    """Give templates what shows times, numbers and sizes."""
    for filter in (number, size, moment, local, ago, duration, span, seconds):
        app.add_template_filter(filter)


def number(value: Any) -> str:
    """Return a number with four digits that matter; whatever else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "\u2013" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    if not math.isfinite(value):
        return str(value)
    return f"{value:.4g}"


def size(value: int) -> str:
    """Return a number of bytes."""
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def moment(value: datetime) -> str:
    """Return a time, to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def local(value: datetime, zone: str) -> str:
    """Return a time on the clock of the IANA time zone ``zone``."""
    return value.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def ago(value: datetime, now: datetime) -> str:
    """Return how long ago a time was."""
    passed = timedelta(seconds=int((now - value).total_seconds()))
    return f"{duration(passed)} ago" if passed >= timedelta(seconds=10) else "just now"


def span(start: datetime, end: datetime) -> str:
    """Return how long it was from ``start`` to ``end``."""
    return duration(end - start)


def seconds(value: float) -> str:
    """Return a number of seconds as a duration."""
    return duration(timedelta(seconds=value))


def duration(value: timedelta) -> str:
    """Return a duration in the one or two units that matter."""
    seconds = max(0.0, value.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            rest = int(seconds % length // part)
            return f"{int(seconds // length)} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.0f} s"
