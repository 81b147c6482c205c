"""Who calls and what may they: the one place of authorisation. `headrace_web.routes` asks it for every route
that is not public; a host that this server does not answer to is refused before anything else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from flask import request
from sqlalchemy.orm import Session

from headrace import origin
from headrace.access import service as access
from headrace.access.service import Principal
from headrace.errors import Forbidden, Invalid, Malformed, Unauthenticated
from headrace_web.calls import Call, Parts


def by_key(session: Session, now: datetime) -> Principal:
    """Return whom the key in the Authorization header belongs to. Raises Unauthenticated."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated
    return access.authenticate(session, key.strip(), now)


def authorise(parts: Parts, role: str, identify: Callable[[Session, datetime], Principal] = by_key) -> Call:
    """Return the call of a key that includes ``role``; ``identify`` says whose key it is.

    Raises Unauthenticated without a valid key, Limited when it calls too often, Forbidden when it lacks the
    role or names another project without being an admin's, NotFound when an admin names an unknown one.
    """
    now = parts.clock()
    with parts.database.read() as session:
        principal = identify(session, now)
        origin.identify(principal.key, principal.project)
        parts.rates.take(principal.key)
        if not principal.may(role):
            raise Forbidden(f"This needs a key with the role {role}; this one is a {principal.role}'s.")
        wanted = request.args.get("project")
        if wanted is not None and "\x00" in wanted:
            raise Invalid.field("query", "project", msg="may not hold the character NUL")
        principal = access.acting_in(session, principal, wanted)
        origin.identify(principal.key, principal.project)
    return Call(parts=parts, principal=principal, project=principal.project, now=now)


def check_host(allowed: tuple[str, ...]) -> None:
    """Raise Malformed unless the Host header is one that this server answers to.

    A page of another site that makes its own name resolve to this machine (DNS rebinding) sends that name.
    Probes are excepted: they come with the address of a container as their host, and give nothing away.
    """
    if "*" in allowed or request.path in ("/healthz", "/readyz"):
        return
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        host = None
    if host is None or host not in {name.lower().strip("[]") for name in allowed}:
        raise Malformed(f"This server does not answer to the host {host!r}; see HEADRACE_ALLOWED_HOSTS.")
