"""Points of a logged model's metric are told apart by data set and value; a run's name may be long, its children are found."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MLFLOW_TABLES = ("metrics", "params", "tags")
COLUMNS = "model_id, key, time_ms, step, run_id, dataset_name, dataset_digest, value, is_nan"


def upgrade() -> None:
    """Widen the key; every point is kept."""
    op.execute(f"CREATE TEMPORARY TABLE kept AS SELECT {COLUMNS} FROM logged_model_metrics")
    op.drop_table("logged_model_metrics")
    op.create_table(
        "logged_model_metrics",
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("dataset_name", sa.String(length=500), server_default="", nullable=False),
        sa.Column("dataset_digest", sa.String(length=36), server_default="", nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["logged_models.id"], name=op.f("fk_logged_model_metrics_model_id")
        ),
        sa.PrimaryKeyConstraint(
            "model_id",
            "key",
            "time_ms",
            "step",
            "run_id",
            "dataset_name",
            "dataset_digest",
            "value",
            "is_nan",
            name=op.f("pk_logged_model_metrics"),
        ),
    )
    op.create_index(
        "ix_logged_model_metrics_key_value", "logged_model_metrics", ["key", "value"], unique=False
    )
    told = COLUMNS.replace(
        "dataset_name, dataset_digest", "coalesce(dataset_name, ''), coalesce(dataset_digest, '')"
    )
    op.execute(f"INSERT INTO logged_model_metrics ({COLUMNS}) SELECT {told} FROM kept")
    op.execute("DROP TABLE kept")
    is_parent = sa.text("key = 'mlflow.parentRunId' AND length(value) <= 64")
    op.create_index(
        "ix_run_tags_parent",
        "run_tags",
        ["value"],
        sqlite_where=is_parent,
        postgresql_where=is_parent,
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite does not look at lengths
        op.alter_column("runs", "name", type_=sa.Text())
    _say_whose_store_this_is()


def _say_whose_store_this_is() -> None:
    """Take the names of the tables that MLflow makes in any database it is pointed at before it looks whose it is."""
    present = sa.inspect(op.get_bind()).get_table_names()
    for name in MLFLOW_TABLES:
        if name not in present:
            op.execute(f"CREATE VIEW {name} AS SELECT 'a store of Penstock, not of MLflow' AS note")
