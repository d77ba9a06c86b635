"""Requests that an endpoint refused, by the minute and the error's code."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "refusals",
        sa.Column("endpoint", sa.String(length=256), nullable=False),
        sa.Column("start_s", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("refused_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "start_s", "code", name=op.f("pk_refusals")),
    )
    op.create_index("ix_refusals_start_s", "refusals", ["start_s"], unique=False)
