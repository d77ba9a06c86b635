"""Verdicts carry the statement that was signed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; verdicts that are there stay, as unsigned."""
    op.add_column("verdicts", sa.Column("envelope", sa.Text(), nullable=True))
