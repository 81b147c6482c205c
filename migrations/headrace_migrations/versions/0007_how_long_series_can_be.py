"""Keep how many distinct times a dataset version has, by which horizons of forecasts are checked

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset_versions", sa.Column("distinct_times", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("dataset_versions", "distinct_times")
