"""Alembic's entry: which database, which tables. Configured in code by `headrace.db.upgrade`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from headrace.access import tables as _access  # noqa: F401
from headrace.artifacts import tables as _artifacts  # noqa: F401
from headrace.datasets import tables as _datasets  # noqa: F401
from headrace.db import Base, Database
from headrace.jobs import tables as _jobs  # noqa: F401
from headrace.registry import tables as _registry  # noqa: F401
from headrace.schedules import tables as _schedules  # noqa: F401

_UPGRADE_LOCK = 0x48654D67
_LOCK_TIMEOUT = "3s"

db = Database(context.config.attributes["url"])
try:
    with db.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            compare_type=True,
            render_as_batch=connection.dialect.name == "sqlite",
            transactional_ddl=True,
        )
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
                # Whoever waits for a table's lock makes all others wait behind: not for long, and again.
                connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            context.run_migrations()
finally:
    db.close()
