"""Who sent a label, so that one which is corrected keeps its history."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen labels; of those that are there nobody knows it."""
    op.add_column("labels", sa.Column("sent_by", sa.String(length=128), nullable=True))
