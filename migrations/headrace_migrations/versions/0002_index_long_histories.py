"""Indexes for long histories

A claim reads one queue at a time, so that a long one that nobody serves is in nobody's way. A heartbeat
writes to no index.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _replace("claim", "queued", ["project", "lane", "queue", sa.text("priority DESC"), "id", "available_at"])
    _replace("lease", "running", ["state", "id"])
    _replace("waiting", "waiting", ["state", "id"])


def downgrade() -> None:
    _replace("claim", "queued", ["project", "lane", sa.text("priority DESC"), "id"])
    _replace("lease", "running", ["lease_expires_at"])
    _replace("waiting", "waiting", ["id"])


def _replace(name: str, state: str, columns: list[str | sa.TextClause]) -> None:
    where = sa.text(f"state = '{state}'")
    op.drop_index(f"ix_jobs_{name}", "jobs")
    op.create_index(f"ix_jobs_{name}", "jobs", columns, postgresql_where=where, sqlite_where=where)
