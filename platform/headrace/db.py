"""The database: the only truth. SQLite and PostgreSQL, chosen by URL.

`Database.transaction` is the one way to write and `Database.read` the one way to only read; entry points
(view, command, task, tick) open them, services never commit. Work that must follow a commit, such as a
ticket to the broker, is handed to `after_commit`.

SQLite runs in WAL mode with ``synchronous=FULL``; writers take the lock at BEGIN, so that a transaction
never fails half-way for a lock that it could not upgrade. SQLite before 3.51.3 can lose a committed write
when a writer races a checkpoint (sqlite.org/wal.html, "the WAL-reset bug"), so older ones are refused and
Linux wheels bring their own. On PostgreSQL writers are READ COMMITTED and lock rows explicitly; readers are
REPEATABLE READ, which is what gives them one snapshot.

A process that is frozen, or cut off, in the middle of a transaction keeps its locks, the one of claims
perhaps. PostgreSQL ends a writer that has been silent for `LONGEST_SILENCE_S`, and the others go on; the
frozen one, should it come back, finds its transaction gone (`AWAY`). SQLite has no such judge: a process that
is stopped while it holds the write lock, which is for milliseconds at a time, holds all writers up until it
goes on or is killed; they wait 30 s, then try again. Who freezes processes should use PostgreSQL.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

OLDEST_SQLITE = (3, 51, 3)
AWAY = (InterfaceError, InternalError, OperationalError, PoolTimeout)
"""What is raised while the database cannot be reached, is full, or has ended the transaction: try again."""

MAX_INTEGER = 2**31 - 1
"""The largest number that an Integer column holds."""

APPLICATION = "headrace "
"""Before the number of the newest revision that it knows: how a process calls itself at PostgreSQL."""

LONGEST_SILENCE_S = 10.0
"""PostgreSQL rolls back a writing transaction that has sent nothing for so long."""

_READ_ONLY = "headrace_read_only"
_CALLBACKS = "headrace_after_commit"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; aware in Python on every database. SQLite keeps it as text that sorts."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return ``value`` as the database keeps it. Raises ValueError for a naive one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return ``value`` in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all tables. Constraints have stable names, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class Database:
    """A database and the ways into it. Thread-safe; make one per process, after any fork."""

    def __init__(self, url: str, info: dict[str, Any] | None = None) -> None:
        """Open the database at ``url``; the ``info`` of every session that may write starts with ``info``."""
        self.url = make_url(url)
        self.info = {} if info is None else info
        self.engine = _engine(url)
        self._write = sessionmaker(self.engine, expire_on_commit=False, info=self.info)
        self._read = sessionmaker(_reader(self.engine), expire_on_commit=False, autoflush=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session; commit at the end, or roll back whole if anything was raised."""
        with self._write() as session:
            with session.begin():
                yield session
            for callback in session.info.pop(_CALLBACKS, []):
                callback()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session on one snapshot, for reading only (PostgreSQL refuses to write or lock in it)."""
        with self._read() as session:
            yield session

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Call ``callback`` once the session's transaction has committed; never if it rolls back."""
    session.info.setdefault(_CALLBACKS, []).append(callback)


def clock(session: Session) -> datetime:
    """Return the database's own time, which alone judges leases. Advances within a transaction."""
    if session.get_bind().dialect.name == "postgresql":
        now = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now.astimezone(UTC)  # type: ignore[no-any-return]
    now = session.execute(text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")).scalar_one()
    return datetime.fromisoformat(now).replace(tzinfo=UTC)


def is_postgresql(session: Session) -> bool:
    """Return whether the session speaks to PostgreSQL."""
    return session.get_bind().dialect.name == "postgresql"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_AHEAD_NS = 10**9
_last_ns: dict[str, int] = {}
_id_lock = threading.Lock()


def new_id(prefix: str, now: datetime | None = None) -> str:
    """Return a fresh id: opaque, and ordered by time, those of one process and prefix strictly so.

    The time is ``now``, by default this machine's; or less than a second later where ids are made quickly.
    """
    ns = time.time_ns() if now is None else _ns(now)
    with _id_lock:
        last = _last_ns.get(prefix, 0)
        ns = _last_ns[prefix] = last + 1 if ns <= last < ns + _MOST_AHEAD_NS else ns
    return f"{prefix}_{ns:016x}{secrets.token_hex(5)}"


def first_id(prefix: str, moment: datetime) -> str:
    """Return what sorts before every id that `new_id` makes from ``moment`` on, and after all before."""
    return f"{prefix}_{min(max(_ns(moment), 0), 2**64 - 1):016x}"


def _ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _engine(url: str) -> Engine:
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        module = _sqlite_module()
        engine = create_engine(
            url, module=module, connect_args={"timeout": 30}, pool_size=20, max_overflow=20
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend == "postgresql":
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=20,
            connect_args={
                "connect_timeout": 5,
                # A server that is gone without a word is noticed within half a minute.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
                "options": "-c lock_timeout=30s -c timezone=UTC",
                "application_name": f"{APPLICATION}{code_revision():04d}",
            },
        )
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    raise ValueError(f"HEADRACE_DATABASE_URL: {backend} is not supported; use sqlite:/// or postgresql://")


def _reader(engine: Engine) -> Engine:
    """The same pool, for transactions that see one snapshot and write nothing."""
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True, _READ_ONLY: True}
        return engine.execution_options(**options)
    return engine.execution_options(**{_READ_ONLY: True})


def _sqlite_module() -> Any:
    try:
        from pysqlite3 import dbapi2 as module
    except ImportError:
        import sqlite3 as module
    if module.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise RuntimeError(
            f"SQLite {module.sqlite_version} can lose committed writes; {oldest} is the oldest safe one"
        )
    return module


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _begin_sqlite
    cursor = connection.cursor()
    # A larger page than SQLite's own makes trees of a million rows as flat as those of a thousand, nearly. It
    # counts for a new file only, and before the journal.
    for pragma in (
        "page_size=8192",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Any) -> None:
    """Limit the silence of writers only: a reader may send its rows to a slow client, and blocks nobody."""
    if not connection.get_execution_options().get(_READ_ONLY, False):
        silence = int(LONGEST_SILENCE_S * 1000)
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {silence}")


def upgrade(url: str) -> None:
    """Bring the schema at ``url`` to the newest revision. Safe to call from several processes at once.

    Whether anybody who still works with the old one is in the way, `headrace.schema.upgrade` asks first.
    """
    from alembic import command

    command.upgrade(alembic_config(url), "head")


@cache
def code_revision() -> int:
    """Return the number of the newest revision that this code knows: the names of the files begin with it."""
    versions = files("headrace_migrations") / "versions"
    return max(int(file.name[:4]) for file in versions.iterdir() if file.name[:4].isdigit())


def alembic_config(url: str) -> Any:
    """Return what Alembic needs to know in order to work on the schema at ``url``."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "headrace_migrations:.")
    config.attributes["url"] = url
    return config
