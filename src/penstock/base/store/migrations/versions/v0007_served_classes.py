"""The classes that served versions know."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; of what was served before, predictions tell the classes."""
    op.create_table(
        "served_classes",
        sa.Column("endpoint", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("classes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "revision", "version", name=op.f("pk_served_classes")),
    )
