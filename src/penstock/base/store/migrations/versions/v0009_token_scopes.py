"""Tokens may be narrowed to scopes and endpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; tokens that are there stay what they are, everything that their user may do."""
    op.add_column("tokens", sa.Column("scopes", sa.Text(), nullable=True))
    op.add_column("tokens", sa.Column("endpoints", sa.Text(), nullable=True))
