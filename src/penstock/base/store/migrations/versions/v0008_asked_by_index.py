"""What is asked often is asked by an index: data of versions and runs, counts of windows. What a recorder lost."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COUNTS = (
    "endpoint", "version", "route", "start_s", "revision",
    "request_count", "error_count", "row_count", "label_count",
)  # fmt: skip
FAILURES = ("start_s", "endpoint", "error_count", "nonfinite_count")


def upgrade() -> None:
    """Create the table and the indexes, widen windows, and write out what provenances name."""
    op.add_column("windows", sa.Column("dropped_count", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_windows_counts", "windows", COUNTS, unique=False)
    op.create_index("ix_windows_failures", "windows", FAILURES, unique=False)
    op.create_index("ix_run_inputs_path", "run_inputs", ["path"], unique=False)
    op.create_table(
        "model_version_inputs",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["model_versions.model", "model_versions.number"],
            name=op.f("fk_model_version_inputs_model"),
        ),
        sa.PrimaryKeyConstraint("model", "number", "path", name=op.f("pk_model_version_inputs")),
    )
    op.create_index("ix_model_version_inputs_path", "model_version_inputs", ["path"], unique=False)
    _write_inputs()


def _write_inputs() -> None:
    """Write a row for every path that the provenance of a version names."""
    connection = op.get_bind()
    versions = sa.table("model_versions", sa.column("model"), sa.column("number"), sa.column("provenance"))
    inputs = sa.table("model_version_inputs", *map(sa.column, ("model", "number", "path", "digest")))
    for row in connection.execute(sa.select(versions)).all():
        origin = json.loads(row.provenance) if isinstance(row.provenance, str) else row.provenance
        data = (origin or {}).get("data") or {}
        found = [
            {"model": row.model, "number": row.number, "path": path, "digest": used}
            for path, used in data.items()
        ]
        if found:
            connection.execute(inputs.insert(), found)
