"""Claim by queue: a queue that nobody serves is in nobody's way

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_QUEUED = sa.text("state = 'queued'")


def upgrade() -> None:
    _replace(["project", "lane", "queue", sa.text("priority DESC"), "id", "available_at"])


def downgrade() -> None:
    _replace(["project", "lane", sa.text("priority DESC"), "id"])


def _replace(columns: list[str | sa.TextClause]) -> None:
    op.drop_index("ix_jobs_claim", "jobs")
    op.create_index("ix_jobs_claim", "jobs", columns, postgresql_where=_QUEUED, sqlite_where=_QUEUED)
