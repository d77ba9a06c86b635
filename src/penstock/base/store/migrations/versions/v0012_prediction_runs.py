"""Which stored answers are runs of a batch, whose rows have an id each."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("predictions", sa.Column("is_run", sa.Boolean(), nullable=False, server_default=sa.false()))
