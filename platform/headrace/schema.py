"""Which schemas this code can work on, and when it is safe to change one: rolling upgrades.

A revision is called by its number, ``0007``; one that takes away what older code relies on (a contraction) is
called by its number and the oldest code that can work on it, ``0009_needs_0007``, and so are all after it.
So a process that meets a revision which it does not know can tell from the name alone whether it may go on.
What belongs into which revision is said in `headrace_migrations`.
"""

from __future__ import annotations

import re
import time
from typing import Literal, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from headrace import db
from headrace.config import redact
from headrace.db import APPLICATION, AWAY, Database
from headrace.errors import Unavailable

NAME = re.compile(r"(?P<number>\d{4})(?:_needs_(?P<needs>\d{4}))?")
_LOCK_TIMEOUT = "55P03"
_LOCK_TRIES = 5
_PAUSE_S = 1.0
_OTHERS = text(
    "SELECT pid, coalesce(client_addr::text, 'this machine') AS host, application_name AS name"
    " FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend' ORDER BY backend_start"
)


class Schema(NamedTuple):
    """A schema as this code sees it; ``problem`` says why it cannot work on it, and is empty where it can."""

    revision: str | None
    known: str
    state: Literal["current", "older", "newer", "empty", "unknown"]
    problem: str = ""


def look(session: Session) -> Schema:
    """Return what the schema of the session's database is."""
    from alembic.migration import MigrationContext

    return judge(MigrationContext.configure(session.connection()).get_current_revision(), db.code_revision())


def judge(revision: str | None, known: int) -> Schema:
    """Return what code whose newest revision is ``known`` makes of a schema at ``revision``."""
    own = f"{known:04d}"
    if revision is None:
        return Schema(None, own, "empty", "The database has no schema yet; run: headrace db upgrade")
    name = NAME.fullmatch(revision)
    if name is None:
        problem = f"The database's schema is at {revision!r}, which is no revision of Headrace's."
        return Schema(revision, own, "unknown", problem)
    if int(name["number"]) < known:
        problem = (
            f"The database's schema is at {revision}, this version needs {own}; run: headrace db upgrade"
        )
        return Schema(revision, own, "older", problem)
    if int(name["number"]) == known:
        return Schema(revision, own, "current")
    problem = ""
    if known < int(name["needs"] or 0):
        problem = (
            f"The database's schema is at {revision}: it needs a version of Headrace that knows "
            f"{name['needs']}, and this one knows {own}; upgrade Headrace on this machine."
        )
    return Schema(revision, own, "newer", problem)


def read(database_url: str) -> Schema:
    """Return what the schema of the database is. Raises `Unavailable` where that cannot be reached."""
    database = Database(database_url)
    try:
        with database.read() as session:
            return look(session)
    except AWAY as error:
        raise _away(database_url, error) from None
    finally:
        database.close()


def require(database_url: str) -> None:
    """Raise `Unavailable` unless the database can be reached and this code can work on its schema."""
    if problem := read(database_url).problem:
        raise Unavailable(problem)


def upgrade(url: str, wait_s: float = 0) -> Schema:
    """Bring the schema to the newest revision that this code knows, and return what it is then.

    A schema that is newer still stays as it is. Raises `Unavailable` where this code cannot work on it, or
    where processes are connected, after ``wait_s`` seconds still, that the new schema would break; also
    where a table stayed locked. On SQLite nobody is asked: it serves one machine.
    """
    end = time.monotonic() + wait_s
    database = Database(url)
    try:
        while True:
            with database.read() as session:
                found = look(session)
                in_the_way = _in_the_way(session.connection()) if found.state == "older" else []
            if found.state in ("unknown", "newer") and found.problem:
                raise Unavailable(found.problem)
            if not in_the_way:
                break
            if time.monotonic() > end:
                raise Unavailable(
                    "The new schema would break processes of an older version that are connected to the "
                    f"database: {', '.join(in_the_way[:10])}. Stop them, or bring them to a version between, "
                    "or let this wait for them: headrace db upgrade --wait 10m"
                )
            time.sleep(_PAUSE_S)
        if found.state != "newer":
            _apply(url)
        with database.read() as session:
            return look(session)
    except AWAY as error:
        raise _away(url, error) from None
    finally:
        database.close()


def _apply(url: str) -> None:
    """Apply what is missing. A lock that is not had soon is let go for a moment, so that work goes on."""
    for left in reversed(range(_LOCK_TRIES)):
        try:
            db.upgrade(url)
            return
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_TIMEOUT:
                raise
            if not left:
                raise Unavailable(
                    "The schema is as it was: another transaction kept a table locked; try again."
                ) from None
            time.sleep(_PAUSE_S)


def _in_the_way(connection: Connection) -> list[str]:
    """Return the processes connected to PostgreSQL that cannot work on the newest schema."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(db.alembic_config("")).get_current_head() or ""
    name = NAME.fullmatch(head)
    if connection.dialect.name != "postgresql" or name is None or name["needs"] is None:
        return []
    found = []
    for pid, host, application in connection.execute(_OTHERS):
        number = application.removeprefix(APPLICATION)
        # Code from before this check did not say what it was; psql, pg_dump and the like do.
        if not application or (number != application and number < name["needs"]):
            found.append(f"{host} (process {pid} of the database, version {number or 'unknown'})")
    return found


def _away(url: str, error: Exception) -> Unavailable:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines() or ["no reason given"]
    return Unavailable(f"{redact(url)} cannot be reached: {redact(reason[0])}")
