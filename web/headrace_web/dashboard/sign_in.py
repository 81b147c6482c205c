"""Signing in with a key, and out again."""

from __future__ import annotations

from typing import Annotated

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from headrace.access import sign_ins
from headrace.errors import Unauthenticated
from headrace_web.calls import Call, Parts
from headrace_web.dashboard.pages import COOKIE, FORM, HTML, SIGN_IN, Pages, page, to

pages = Pages("sign_in")


class SignInQuery(BaseModel):
    """Where to go after signing in."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    next: Annotated[str, Field(max_length=2000)] = "/"

    def target(self) -> str:
        """Return ``next`` where it is a path of this server, else the overview."""
        plain = self.next.isprintable() and "\\" not in self.next
        return self.next if plain and self.next.startswith("/") and not self.next.startswith("//") else "/"


@pages.route("GET", SIGN_IN, role="public", query=SignInQuery, produces=HTML)
def form(parts: Parts, query: SignInQuery) -> Response:
    """Show the form."""
    token = request.cookies.get(COOKIE) or sign_ins.new_token()
    response = page("sign_in.html", form_token=sign_ins.form_token(token), target=query.target())
    # A token that opens nothing; it ties the form to this browser.
    return _keep(response, token)


@pages.route("POST", SIGN_IN, role="public", query=SignInQuery, consumes=[FORM], produces=HTML)
def sign_in(parts: Parts, query: SignInQuery) -> Response:
    """Begin a session."""
    try:
        with parts.database.transaction() as session:
            token = sign_ins.begin(session, request.form.get("key", "").strip(), parts.clock())
    except Unauthenticated as error:
        return page("sign_in.html", status=422, target=query.target(), error=error.detail)
    return _keep(to(query.target()), token)


@pages.route("POST", "/sign-out", role="viewer", consumes=[FORM], produces=HTML)
def sign_out(call: Call) -> Response:
    """End the session."""
    with call.parts.database.transaction() as session:
        sign_ins.end(session, request.cookies[COOKIE])
    response = to(SIGN_IN)
    response.delete_cookie(COOKIE, httponly=True, samesite="Lax")
    return response


def _keep(response: Response, token: str) -> Response:
    response.set_cookie(
        COOKIE, token, max_age=sign_ins.LASTS, httponly=True, samesite="Lax", secure=request.is_secure
    )
    return response
