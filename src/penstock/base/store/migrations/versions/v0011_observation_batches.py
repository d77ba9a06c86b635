"""Which batches of observations were taken, so that one that is sent again counts once."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "observation_batches",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_observation_batches")),
    )
    op.create_index(
        "ix_observation_batches_received_ms", "observation_batches", ["received_ms"], unique=False
    )
