"""How many answers of a window were no finite numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COUNTS = ("nonfinite_count", "nonfinite_run_count", "nonfinite_row_count")


def upgrade() -> None:
    """Widen windows; in those that are there nobody counted, which is taken as none."""
    for name in COUNTS:
        op.add_column("windows", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
