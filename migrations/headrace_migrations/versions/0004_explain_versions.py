"""Note which explain jobs explain a version, so that it finds them

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_explanations",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_model_explanations_job_jobs")),
        sa.ForeignKeyConstraint(
            ["version"],
            ["model_versions.id"],
            name=op.f("fk_model_explanations_version_model_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_model_explanations")),
    )
    op.create_index("ix_model_explanations_version", "model_explanations", ["version", "job"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_model_explanations_version", table_name="model_explanations")
    op.drop_table("model_explanations")
