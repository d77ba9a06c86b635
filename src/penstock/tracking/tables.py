"""The tables of experiments, runs, their data, and logged models.

Points of a metric are never updated; `run_latest_metrics` holds for each metric the point that counts (the
greatest of step, time and value) so that a search reads one row instead of a history. Rows are deleted only
by a purge; `deleted_ms` marks what its owner took away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from penstock.base.store.database import metadata
from penstock.tracking.entities import PARENT_TAG


class Step(sa.BigInteger):
    """A step of a metric. Earlier clients stored the integers of NumPy as bytes in SQLite; these are read as numbers."""

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return what makes a number of what SQLite holds; other databases hold nothing but numbers."""
        return _step_of if dialect.name == "sqlite" else None


def _step_of(stored: Any) -> Any:
    return int.from_bytes(stored, "little", signed=True) if stored.__class__ is bytes else stored


BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""Ids that MLflow's file store made have 18 digits; SQLite's INTEGER holds them, PostgreSQL's does not."""


def _owned_by(owner: str) -> sa.Column[str]:
    return sa.Column(
        "run_id" if owner == "runs" else "model_id", sa.ForeignKey(f"{owner}.id"), primary_key=True
    )


def _pairs(name: str, owner: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        _owned_by(owner),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(500), nullable=False, unique=True),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("deleted_ms", sa.BigInteger),
    sa.Column("artifact_uri", sa.Text),
)
experiment_tags = sa.Table(
    "experiment_tags",
    metadata,
    sa.Column("experiment_id", sa.ForeignKey("experiments.id"), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("experiment_id", sa.ForeignKey("experiments.id"), nullable=False),
    # as long as the tag it is kept equal to; SQLite does not look at lengths, and is not made anew for one
    sa.Column("name", sa.Text().with_variant(sa.String(250), "sqlite"), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("start_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("end_ms", sa.BigInteger),
    sa.Column("commit", sa.String(64), index=True),
    sa.Column("dirty_digest", sa.String(64)),
    sa.Column("lock_digest", sa.String(64), index=True),
    sa.Column("user", sa.String(256), nullable=False, server_default=""),
    sa.Column("deleted_ms", sa.BigInteger),
    sa.Column("artifact_uri", sa.Text),
    sa.Index("ix_runs_experiment_id_start_ms_id", "experiment_id", "start_ms", "id"),
)
run_params = _pairs("run_params", "runs")
run_tags = _pairs("run_tags", "runs")
IS_PARENT = sa.text(f"key = '{PARENT_TAG}' AND length(value) <= 64")
"""Of the tags, those that name a parent; written out, so that a database sees that the index holds just these."""
# PostgreSQL has it with the same condition from the migration; its name here would load that dialect in each process
sa.Index("ix_run_tags_parent", run_tags.c.value, sqlite_where=IS_PARENT)
run_metrics = sa.Table(
    "run_metrics",
    metadata,
    # no foreign key: the writer has just read the run, and the check would cost a look-up for each point
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("step", Step, primary_key=True, autoincrement=False),
    sa.Column("time_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Float, primary_key=True),
    sa.Column("is_nan", sa.Boolean, primary_key=True),
    sqlite_with_rowid=False,
)
run_latest_metrics = sa.Table(
    "run_latest_metrics",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("is_nan", sa.Boolean, nullable=False),
    sa.Column("step", Step, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("experiment_id", BigId, nullable=False),
    # the order a search by metric walks; the experiment stands here so that it need not look at other runs
    sa.Index("ix_run_latest_metrics_order", "experiment_id", "key", "is_nan", "value"),
    sqlite_with_rowid=False,
)
run_inputs = sa.Table(
    "run_inputs",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("path", sa.String(1024), primary_key=True, index=True),
    sa.Column("digest", sa.String(80), nullable=False, index=True),
)
run_stages = sa.Table(
    "run_stages",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(250), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
)
datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("experiment_id", sa.ForeignKey("experiments.id"), nullable=False),
    sa.Column("name", sa.String(500), nullable=False),
    sa.Column("digest", sa.String(36), nullable=False),
    sa.Column("source_type", sa.String(36), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("schema", sa.Text),
    sa.Column("profile", sa.Text),
    sa.UniqueConstraint("experiment_id", "name", "digest"),
)
run_datasets = sa.Table(
    "run_datasets",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("dataset_id", sa.ForeignKey("datasets.id"), primary_key=True, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("context", sa.String(500)),
    sa.Column("tags", sa.JSON, nullable=False),
)
run_models = sa.Table(
    "run_models",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("direction", sa.String(6), primary_key=True),
    sa.Column("model_id", sa.String(64), primary_key=True, index=True),
    sa.Column("step", sa.BigInteger),
    sa.Column("position", sa.Integer, nullable=False),
)
logged_models = sa.Table(
    "logged_models",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("experiment_id", sa.ForeignKey("experiments.id"), nullable=False),
    sa.Column("name", sa.String(500), nullable=False),
    sa.Column("model_type", sa.String(500)),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("status_message", sa.Text),
    sa.Column("source_run_id", sa.String(32), index=True),
    sa.Column("artifact_uri", sa.Text),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False),
    sa.Column("deleted_ms", sa.BigInteger),
    sa.Index("ix_logged_models_experiment_id_created_ms", "experiment_id", "created_ms"),
)
logged_model_params = _pairs("logged_model_params", "logged_models")
logged_model_tags = _pairs("logged_model_tags", "logged_models")
logged_model_metrics = sa.Table(
    "logged_model_metrics",
    metadata,
    _owned_by("logged_models"),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("time_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.String(32), primary_key=True),
    # empty where no data set was named: a key has no place for NULL
    sa.Column("dataset_name", sa.String(500), primary_key=True, server_default=""),
    sa.Column("dataset_digest", sa.String(36), primary_key=True, server_default=""),
    sa.Column("value", sa.Float, primary_key=True),
    sa.Column("is_nan", sa.Boolean, primary_key=True),
    sa.Index("ix_logged_model_metrics_key_value", "key", "value"),
)
