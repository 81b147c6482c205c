"""API keys of a project."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from headrace.access import service as access
from headrace.access.tables import ApiKey
from headrace.errors import Forbidden
from headrace.specs.base import Name, Spec
from headrace_web.calls import Answer, Call
from headrace_web.pagination import Page, PageQuery
from headrace_web.routes import Routes
from headrace_web.shapes import Moment, Time

routes = Routes("keys", "/api/v1/keys")

Role = Literal["viewer", "submitter", "maintainer", "admin"]


class NewKey(Spec):
    """What a new key is to be. Without `project`, it is the project's that the request is about."""

    role: Role
    project: Name | None = None
    name: Annotated[str, Field(max_length=200)] = ""
    expires_at: Moment | None = None


class Key(BaseModel):
    """A key, without its secret; `prefix` is how it begins."""

    id: str
    project: str
    role: Role
    name: str
    prefix: str
    created_at: Time
    created_by: str | None
    expires_at: Time | None
    revoked_at: Time | None


class CreatedKey(Key):
    """A new key; `key` is shown this once."""

    key: str


def _fields(row: ApiKey) -> dict[str, str | datetime | None]:
    return {
        "id": row.id,
        "project": row.project,
        "role": row.role,
        "name": row.name,
        "prefix": f"hr_{row.prefix}",
        "created_at": row.created_at,
        "created_by": row.created_by,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
    }


def _key(row: ApiKey) -> Key:
    return Key.model_validate(_fields(row))


@routes.route("POST", role="maintainer", body=NewKey, returns=CreatedKey, status=201)
def create(call: Call, body: NewKey) -> Answer:
    """Create a key.

    Nobody gives more than they have: only an admin makes an admin's key, or one of another project. An
    admin's key for a project that does not exist yet makes the project.
    """
    if not call.principal.may(body.role):
        raise Forbidden(f"A {call.principal.role} cannot give the role {body.role}.")
    project = body.project or call.project
    if project != call.project and not call.principal.may("admin"):
        raise Forbidden("Only an admin key may make a key of another project.")
    with call.parts.database.transaction() as session:
        row, secret = access.create_key(
            session,
            project=project,
            role=body.role,
            name=body.name,
            now=call.now,
            created_by=call.principal.key,
            expires_at=body.expires_at,
        )
        created = CreatedKey.model_validate(_fields(row) | {"key": secret})
    return Answer(body=created, headers={"Location": f"/api/v1/keys/{row.id}"})


@routes.route("GET", role="maintainer", query=PageQuery, returns=Page[Key])
def index(call: Call, query: PageQuery) -> Page[Key]:
    """List the keys of the project, newest first, revoked ones included."""
    with call.parts.database.read() as session:
        found = access.keys(session, call.project, limit=query.limit, cursor=query.position())
        return query.page(found, _key)


@routes.route("GET", "/<id:key>", role="maintainer", returns=Key)
def show(call: Call, key: str) -> Key:
    """Show one key."""
    with call.parts.database.read() as session:
        return _key(access.key(session, call.project, key))


@routes.route("DELETE", "/<id:key>", role="maintainer", status=204)
def revoke(call: Call, key: str) -> Answer:
    """Revoke a key: it is worthless from now on."""
    with call.parts.database.transaction() as session:
        row = access.key(session, call.project, key)
        if not call.principal.may(row.role):
            raise Forbidden(f"A {call.principal.role} cannot revoke the key of an {row.role}.")
        access.revoke_key(session, call.project, key, call.now)
    return Answer(body=None)
