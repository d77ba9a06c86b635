"""Labels that wait for their predictions, and how many were given up."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "waiting_labels",
        sa.Column("prediction_id", sa.String(length=40), nullable=False),
        sa.Column("endpoint", sa.String(length=256), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("label_values", sa.LargeBinary(), nullable=False),
        sa.Column("sent_by", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("prediction_id", "endpoint", "received_ms", name=op.f("pk_waiting_labels")),
    )
    op.create_index(
        "ix_waiting_labels_endpoint_received_ms", "waiting_labels", ["endpoint", "received_ms"], unique=False
    )
    op.create_table(
        "lost_labels",
        sa.Column("endpoint", sa.String(length=256), nullable=False),
        sa.Column("day_s", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("lost_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "day_s", "reason", name=op.f("pk_lost_labels")),
    )
