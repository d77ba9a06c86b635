"""What MLflow's API needs: soft deletion, tags, datasets, logged models, latest metrics; users, webhooks.

The points of metrics get their natural key, so that a repeated point is dropped by the database; parameters
and tags lie in key order, so that a run's are read in one go.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

GREATEST_FIRST = "ORDER BY step DESC, time_ms DESC, value DESC"


def upgrade() -> None:
    """Create the new tables, widen the old ones, keep every row."""
    _create()
    _widen()
    _rebuild_pairs("run_params")
    _rebuild_pairs("run_tags")
    _rebuild_metrics()
    op.execute(
        "INSERT INTO experiments (id, name, created_ms, updated_ms) SELECT 0, 'Default', 0, 0 "
        "WHERE NOT EXISTS (SELECT 1 FROM experiments WHERE id = 0 OR name = 'Default')"
    )
    op.execute("UPDATE experiments SET updated_ms = created_ms")
    op.execute(
        "UPDATE registered_models SET updated_ms = created_ms, newest_number = COALESCE("
        "(SELECT max(number) FROM model_versions WHERE model_versions.model = registered_models.name), 0)"
    )
    op.execute("UPDATE model_versions SET updated_ms = created_ms")


def _rebuild_pairs(name: str) -> None:
    op.execute(f"CREATE TEMPORARY TABLE kept AS SELECT run_id, key, value FROM {name}")
    op.drop_table(name)
    op.create_table(
        name,
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f(f"fk_{name}_run_id")),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f(f"pk_{name}")),
        sqlite_with_rowid=False,
    )
    op.execute(f"INSERT INTO {name} (run_id, key, value) SELECT run_id, key, value FROM kept")
    op.execute("DROP TABLE kept")


def _rebuild_metrics() -> None:
    op.execute(
        "CREATE TEMPORARY TABLE kept AS SELECT DISTINCT run_id, key, step, time_ms, value FROM run_metrics"
    )
    op.drop_table("run_metrics")
    op.create_table(
        "run_metrics",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "run_id", "key", "step", "time_ms", "value", "is_nan", name=op.f("pk_run_metrics")
        ),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO run_metrics (run_id, key, step, time_ms, value, is_nan) "
        "SELECT run_id, key, step, time_ms, value, false FROM kept"
    )
    op.execute(
        "INSERT INTO run_latest_metrics (run_id, key, value, is_nan, step, time_ms, experiment_id) "
        "SELECT run_id, key, value, false, step, time_ms, experiment_id FROM ("
        "SELECT kept.*, runs.experiment_id, row_number() OVER "
        f"(PARTITION BY run_id, key {GREATEST_FIRST}) AS place FROM kept JOIN runs ON runs.id = kept.run_id"
        ") AS placed WHERE place = 1"
    )
    op.execute("DROP TABLE kept")


def _widen() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("experiments", "id", type_=sa.BigInteger())
        op.alter_column("runs", "experiment_id", type_=sa.BigInteger())
        op.execute("ALTER SEQUENCE experiments_id_seq AS bigint")
    op.create_index(
        "ix_runs_experiment_id_start_ms_id", "runs", ["experiment_id", "start_ms", "id"], unique=False
    )
    op.add_column("experiments", sa.Column("updated_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("experiments", sa.Column("deleted_ms", sa.BigInteger(), nullable=True))
    op.add_column("experiments", sa.Column("artifact_uri", sa.Text(), nullable=True))
    op.add_column(
        "model_versions", sa.Column("updated_ms", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("model_versions", sa.Column("deleted_ms", sa.BigInteger(), nullable=True))
    op.add_column("model_versions", sa.Column("description", sa.Text(), nullable=True))
    op.add_column(
        "model_versions", sa.Column("stage", sa.String(length=32), server_default="None", nullable=False)
    )
    op.add_column("model_versions", sa.Column("source", sa.Text(), nullable=True))
    op.add_column("model_versions", sa.Column("run_link", sa.Text(), nullable=True))
    op.add_column("model_versions", sa.Column("logged_model_id", sa.String(length=64), nullable=True))
    op.create_index(
        op.f("ix_model_versions_logged_model_id"), "model_versions", ["logged_model_id"], unique=False
    )
    op.add_column(
        "registered_models", sa.Column("updated_ms", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("registered_models", sa.Column("deleted_ms", sa.BigInteger(), nullable=True))
    op.add_column("registered_models", sa.Column("description", sa.Text(), nullable=True))
    op.add_column(
        "registered_models", sa.Column("newest_number", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("registered_models", sa.Column("moved_to", sa.String(length=256), nullable=True))
    op.add_column("runs", sa.Column("user", sa.String(length=256), server_default="", nullable=False))
    op.add_column("runs", sa.Column("deleted_ms", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("artifact_uri", sa.Text(), nullable=True))
    op.drop_index(op.f("ix_runs_experiment_id"), table_name="runs")


def _create() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_users")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        sa.UniqueConstraint("name", name=op.f("uq_webhooks_name")),
    )
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("experiment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("digest", sa.String(length=36), nullable=False),
        sa.Column("source_type", sa.String(length=36), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_datasets_experiment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
        sa.UniqueConstraint(
            "experiment_id", "name", "digest", name=op.f("uq_datasets_experiment_id_name_digest")
        ),
    )
    op.create_table(
        "experiment_tags",
        sa.Column("experiment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_tags_experiment_id")
        ),
        sa.PrimaryKeyConstraint("experiment_id", "key", name=op.f("pk_experiment_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "grants",
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("resource", sa.String(length=500), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_grants_user")),
        sa.PrimaryKeyConstraint("user", "kind", "resource", name=op.f("pk_grants")),
    )
    op.create_table(
        "logged_models",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("experiment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("model_type", sa.String(length=500), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=True),
        sa.Column("source_run_id", sa.String(length=32), nullable=True),
        sa.Column("artifact_uri", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_logged_models_experiment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logged_models")),
    )
    op.create_index(
        "ix_logged_models_experiment_id_created_ms",
        "logged_models",
        ["experiment_id", "created_ms"],
        unique=False,
    )
    op.create_index(op.f("ix_logged_models_source_run_id"), "logged_models", ["source_run_id"], unique=False)
    op.create_table(
        "registered_model_tags",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"], ["registered_models.name"], name=op.f("fk_registered_model_tags_model")
        ),
        sa.PrimaryKeyConstraint("model", "key", name=op.f("pk_registered_model_tags")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_tokens_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
    )
    op.create_index(op.f("ix_tokens_user"), "tokens", ["user"], unique=False)
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("webhook_id", sa.String(length=36), nullable=False),
        sa.Column("entity", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(op.f("ix_webhook_deliveries_next_ms"), "webhook_deliveries", ["next_ms"], unique=False)
    op.create_table(
        "logged_model_metrics",
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.Column("dataset_name", sa.String(length=500), nullable=True),
        sa.Column("dataset_digest", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["logged_models.id"], name=op.f("fk_logged_model_metrics_model_id")
        ),
        sa.PrimaryKeyConstraint(
            "model_id", "key", "time_ms", "step", "run_id", name=op.f("pk_logged_model_metrics")
        ),
    )
    op.create_index(
        "ix_logged_model_metrics_key_value", "logged_model_metrics", ["key", "value"], unique=False
    )
    op.create_table(
        "logged_model_params",
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["logged_models.id"], name=op.f("fk_logged_model_params_model_id")
        ),
        sa.PrimaryKeyConstraint("model_id", "key", name=op.f("pk_logged_model_params")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "logged_model_tags",
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["logged_models.id"], name=op.f("fk_logged_model_tags_model_id")
        ),
        sa.PrimaryKeyConstraint("model_id", "key", name=op.f("pk_logged_model_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_version_tags",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["model_versions.model", "model_versions.number"],
            name=op.f("fk_model_version_tags_model"),
        ),
        sa.PrimaryKeyConstraint("model", "number", "key", name=op.f("pk_model_version_tags")),
    )
    op.create_table(
        "run_datasets",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("context", sa.String(length=500), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_run_datasets_dataset_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_datasets_run_id")),
        sa.PrimaryKeyConstraint("run_id", "dataset_id", name=op.f("pk_run_datasets")),
    )
    op.create_index(op.f("ix_run_datasets_dataset_id"), "run_datasets", ["dataset_id"], unique=False)
    op.create_table(
        "run_latest_metrics",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("experiment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_latest_metrics_run_id")),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f("pk_run_latest_metrics")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_run_latest_metrics_order",
        "run_latest_metrics",
        ["experiment_id", "key", "is_nan", "value"],
        unique=False,
    )
    op.create_table(
        "run_models",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("direction", sa.String(length=6), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_models_run_id")),
        sa.PrimaryKeyConstraint("run_id", "direction", "model_id", name=op.f("pk_run_models")),
    )
    op.create_index(op.f("ix_run_models_model_id"), "run_models", ["model_id"], unique=False)
