"""What each attempt of a job has used, and sums of it by day

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_costs",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cpu_s", sa.Double(), nullable=False),
        sa.Column("peak_bytes", sa.BigInteger(), nullable=False),
        sa.Column("energy_j", sa.Double(), nullable=False),
        sa.Column("energy_source", sa.String(), nullable=True),
        sa.CheckConstraint("energy_source IN ('rapl', 'estimate')", name=op.f("ck_job_costs_energy_source")),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_job_costs_job_jobs")),
        sa.PrimaryKeyConstraint("job", "attempt", name=op.f("pk_job_costs")),
    )
    op.create_table(
        "cost_days",
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("estimates", sa.BigInteger(), nullable=False),
        sa.Column("wall_s", sa.Double(), nullable=False),
        sa.Column("cpu_s", sa.Double(), nullable=False),
        sa.Column("peak_bytes", sa.BigInteger(), nullable=False),
        sa.Column("energy_j", sa.Double(), nullable=False),
        sa.CheckConstraint("\"by\" IN ('project', 'model', 'schedule')", name=op.f("ck_cost_days_by")),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_cost_days_project_projects")),
        sa.PrimaryKeyConstraint("by", "project", "name", "day", name=op.f("pk_cost_days")),
    )


def downgrade() -> None:
    op.drop_table("cost_days")
    op.drop_table("job_costs")
