"""How many rows of a window were far from all that the reference has; by which slices quality is told apart."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

COUNTS = ("scored_row_count", "outlier_row_count", "outlier_run_count")


def upgrade() -> None:
    """Widen windows and predictions; in those that are there no row was scored, and no slice kept."""
    for name in COUNTS:
        op.add_column("windows", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("predictions", sa.Column("slices", sa.LargeBinary(), nullable=True))
