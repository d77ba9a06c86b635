"""Requests and answers of logged calls, until the other side of the call comes."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "observation_halves",
        sa.Column("endpoint", sa.String(length=256), nullable=False),
        sa.Column("call_id", sa.String(length=256), nullable=False),
        sa.Column("side", sa.String(length=16), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "call_id", "side", name=op.f("pk_observation_halves")),
    )
    op.create_index("ix_observation_halves_received_ms", "observation_halves", ["received_ms"], unique=False)
