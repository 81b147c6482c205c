"""Jobs whose work is other jobs

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COORDINATES = sa.text("lane = 'coordinator' AND finished_at IS NULL")
_HAS_PARENT = sa.text("parent IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("parent", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("part", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("figures", sa.JSON(none_as_null=True), nullable=True))
    _index("ix_jobs_coordinators", ["lane", "id"], _COORDINATES)
    _index("uq_jobs_part", ["parent", "part"], _HAS_PARENT, unique=True)
    _index("ix_jobs_list_parent", ["project", "parent", "id"], _HAS_PARENT)


def downgrade() -> None:
    for name in ("ix_jobs_coordinators", "uq_jobs_part", "ix_jobs_list_parent"):
        op.drop_index(name, "jobs")
    for name in ("figures", "part", "parent"):
        op.drop_column("jobs", name)


def _index(name: str, columns: list[str], where: sa.TextClause, unique: bool = False) -> None:
    op.create_index(name, "jobs", columns, unique=unique, postgresql_where=where, sqlite_where=where)
