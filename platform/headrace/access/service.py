"""Projects and API keys."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from headrace.access import audit
from headrace.access.tables import ROLES, ApiKey, Project
from headrace.db import new_id
from headrace.errors import Forbidden, Invalid, NotFound, Unauthenticated
from headrace.paging import Page, newest_first
from headrace.specs.base import NAME_PATTERN

_KEY = re.compile(r"^hr_([0-9a-f]{8})_[0-9a-f]{64}$")


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who makes a request, and the project that the request is about."""

    key: str
    role: str
    project: str

    def may(self, role: str) -> bool:
        """Return whether this role includes ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)


def ensure_project(session: Session, name: str, now: datetime) -> Project:
    """Return the project ``name``, made if it is not there yet."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise Invalid.field("project", msg=f"{name[:100]!r} should match {NAME_PATTERN}")
    project = session.get(Project, name)
    if project is None:
        project = Project(name=name, created_at=now)
        try:
            with session.begin_nested():
                session.add(project)
        except IntegrityError:  # somebody else has just made it
            project = session.get_one(Project, name)
    return project


def projects(session: Session, *, limit: int, cursor: str | None = None) -> Page[Project]:
    """Return one page of all projects."""
    return newest_first(session, select(Project), Project.name, limit=limit, cursor=cursor)


def project(session: Session, name: str, *, lock: bool = False) -> Project:
    """Return one project, its row locked if asked for. Raises `NotFound`."""
    found = session.get(Project, name, with_for_update={"key_share": True} if lock else None)
    if found is None:
        raise NotFound(f"there is no project {name[:100]!r}")
    return found


def update_project(
    session: Session, row: Project, changes: Mapping[str, float | None], now: datetime
) -> None:
    """Set the columns ``changes`` of a project whose row the caller has locked."""
    for column, value in changes.items():
        setattr(row, column, value)
    session.flush()
    audit.record(session, "project.update", project=row.name, object=row.name, now=now, **changes)


def create_key(
    session: Session,
    *,
    project: str,
    role: str,
    name: str,
    now: datetime,
    created_by: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Return a new key's row and the key itself, which is not kept. The project is made if need be.

    Raises `Invalid` for an unknown role, a bad project name or an expiry in the past.
    """
    if role not in ROLES:
        raise Invalid.field("role", msg=f"should be one of {', '.join(ROLES)}")
    if expires_at is not None and expires_at <= now:
        raise Invalid.field("expires_at", msg="should be in the future")
    ensure_project(session, project, now)
    prefix = secrets.token_hex(4)
    key = f"hr_{prefix}_{secrets.token_hex(32)}"
    row = ApiKey(
        id=new_id("key"),
        project=project,
        role=role,
        name=name,
        prefix=prefix,
        secret_sha256=_sha256(key),
        created_at=now,
        created_by=created_by,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    audit.record(session, "key.create", project=project, object=row.id, now=now, role=role)
    return row, key


def authenticate(session: Session, key: str, now: datetime) -> Principal:
    """Return whom ``key`` belongs to. Raises `Unauthenticated`."""
    match = _KEY.match(key)
    row = session.scalar(select(ApiKey).where(ApiKey.prefix == match[1])) if match else None
    if row is None or not hmac.compare_digest(row.secret_sha256, _sha256(key)):
        raise Unauthenticated("this API key is not known")
    return _principal(row, now)


def valid_key(session: Session, key_id: str, now: datetime) -> Principal:
    """Return whom the key with the id ``key_id`` belongs to. Raises `Unauthenticated`."""
    row = session.get(ApiKey, key_id)
    if row is None:
        raise Unauthenticated("this API key is not known")
    return _principal(row, now)


def _principal(row: ApiKey, now: datetime) -> Principal:
    if row.revoked_at is not None:
        raise Unauthenticated("this API key was revoked")
    if row.expires_at is not None and row.expires_at <= now:
        raise Unauthenticated("this API key has expired")
    return Principal(key=row.id, role=row.role, project=row.project)


def acting_in(session: Session, principal: Principal, project: str | None) -> Principal:
    """Return ``principal`` acting in ``project``. Raises `Forbidden` unless it is its own or an admin's."""
    if project is None or project == principal.project:
        return principal
    if not principal.may("admin"):
        raise Forbidden("only an admin key may name another project")
    if session.get(Project, project) is None:
        raise NotFound(f"there is no project {project[:100]!r}")
    return Principal(key=principal.key, role=principal.role, project=project)


def keys(session: Session, project: str, *, limit: int, cursor: str | None = None) -> Page[ApiKey]:
    """Return one page of the keys of ``project``, revoked ones included."""
    query = select(ApiKey).where(ApiKey.project == project)
    return newest_first(session, query, ApiKey.id, limit=limit, cursor=cursor)


def key(session: Session, project: str, key_id: str) -> ApiKey:
    """Return one key of ``project``. Raises `NotFound`."""
    row = session.scalar(select(ApiKey).where(ApiKey.project == project, ApiKey.id == key_id))
    if row is None:
        raise NotFound(f"there is no key {key_id[:100]!r}")
    return row


def revoke_key(session: Session, project: str, key_id: str, now: datetime) -> None:
    """Make a key worthless from now on. Raises `NotFound`; revoking twice is no error."""
    row = key(session, project, key_id)
    if row.revoked_at is None:
        row.revoked_at = now
        audit.record(session, "key.revoke", project=project, object=row.id, now=now)


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
