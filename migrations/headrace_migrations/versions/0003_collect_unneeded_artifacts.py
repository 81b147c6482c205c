"""Remember which artifacts nothing needs, so that they can be removed after a while

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unneeded",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleting_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleter", sa.String(), nullable=True),
        sa.CheckConstraint("(deleter IS NULL) = (deleting_at IS NULL)", name=op.f("ck_unneeded_deleting")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_unneeded")),
    )
    op.create_index("ix_unneeded_since", "unneeded", ["since"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_unneeded_since", table_name="unneeded")
    op.drop_table("unneeded")
