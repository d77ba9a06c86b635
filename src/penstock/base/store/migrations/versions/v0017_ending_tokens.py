"""When tokens end, and when they were used last."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; tokens that there are do not end."""
    op.add_column("tokens", sa.Column("expires_ms", sa.BigInteger(), nullable=True))
    op.add_column("tokens", sa.Column("used_ms", sa.BigInteger(), nullable=True))
