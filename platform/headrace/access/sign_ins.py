"""Signing in with a key in a browser.

The browser gets a random token in a cookie; the database keeps its SHA-256. So there is no secret to sign
with, signing out really ends it, and a copy of the database opens no session. The key itself is not kept:
once it is revoked or has expired, so have its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from headrace.access import service
from headrace.access.service import Principal
from headrace.access.tables import SignIn
from headrace.errors import Unauthenticated

LASTS = timedelta(days=7)
_TOKEN = re.compile(r"[0-9a-f]{64}")


def new_token() -> str:
    """Return 256 random bits in hexadecimal."""
    return secrets.token_hex(32)


def begin(session: Session, key: str, now: datetime) -> str:
    """Return the token of a new session for ``key``. Raises `Unauthenticated`."""
    principal = service.authenticate(session, key, now)
    session.execute(delete(SignIn).where(SignIn.expires_at <= now))
    token = new_token()
    session.add(
        SignIn(token_sha256=_sha256(token), key=principal.key, created_at=now, expires_at=now + LASTS)
    )
    session.flush()
    return token


def principal(session: Session, token: str, now: datetime) -> Principal:
    """Return whom the session with ``token`` belongs to. Raises `Unauthenticated`."""
    row = session.get(SignIn, _sha256(token)) if _TOKEN.fullmatch(token) else None
    if row is None or row.expires_at <= now:
        raise Unauthenticated("this session has ended")
    return service.valid_key(session, row.key, now)


def end(session: Session, token: str) -> None:
    """End the session with ``token``; ending twice is no error."""
    session.execute(delete(SignIn).where(SignIn.token_sha256 == _sha256(token)))


def form_token(token: str) -> str:
    """Return what a form of the session with ``token`` has to send along: no other site can know it."""
    return hmac.new(token.encode(), b"form", "sha256").hexdigest()


def is_form_token(token: str, given: str) -> bool:
    """Return whether ``given`` is the form token of ``token``."""
    return hmac.compare_digest(form_token(token).encode(), given.encode())


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
