"""The registry's tables.

What a version is (content, provenance, numbers) is never updated, nor are moves and verdicts; a description,
tags and a stage are notes that people change. `deleted_ms` marks what was taken away. `newest_number` is the
highest number a name ever gave, and `moved_to` the name its versions have now; so `name/3` is one thing for ever.
"""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.store.database import metadata

models = sa.Table(
    "registered_models",
    metadata,
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("deleted_ms", sa.BigInteger),
    sa.Column("description", sa.Text),
    sa.Column("newest_number", sa.Integer, nullable=False, server_default="0"),
    sa.Column("moved_to", sa.String(256)),
)
model_tags = sa.Table(
    "registered_model_tags",
    metadata,
    sa.Column("model", sa.ForeignKey("registered_models.name"), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("model", sa.ForeignKey("registered_models.name"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("path", sa.String(1024), nullable=False),
    sa.Column("manifest", sa.JSON, nullable=False),
    sa.Column("provenance", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("run_id", sa.String(32), index=True),
    sa.Column("commit", sa.String(64), index=True),
    sa.Column("profile_digest", sa.String(64)),
    sa.Column("updated_ms", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("deleted_ms", sa.BigInteger),
    sa.Column("description", sa.Text),
    sa.Column("stage", sa.String(32), nullable=False, server_default="None"),
    sa.Column("source", sa.Text),
    sa.Column("run_link", sa.Text),
    sa.Column("logged_model_id", sa.String(64), index=True),
)
version_tags = sa.Table(
    "model_version_tags",
    metadata,
    sa.Column("model", sa.String(256), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["model_versions.model", "model_versions.number"]),
)
version_inputs = sa.Table(
    "model_version_inputs",
    metadata,
    sa.Column("model", sa.String(256), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("path", sa.String(1024), primary_key=True, index=True),
    sa.Column("digest", sa.String(80), nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["model_versions.model", "model_versions.number"]),
)
aliases = sa.Table(
    "model_aliases",
    metadata,
    sa.Column("model", sa.ForeignKey("registered_models.name"), primary_key=True),
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)
alias_moves = sa.Table(
    "model_alias_moves",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("model", sa.ForeignKey("registered_models.name"), nullable=False),
    sa.Column("name", sa.String(256), nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("previous", sa.Integer),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("verdict_id", sa.String(32)),
    sa.Column("cause", sa.JSON),
    sa.Index("ix_model_alias_moves_model_name", "model", "name"),
)
version_states = sa.Table(
    "version_states",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("cause", sa.JSON, nullable=False),
    sa.Index("ix_version_states_model_number", "model", "number"),
)
verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("model_digest", sa.String(64), nullable=False, index=True),
    sa.Column("settings_digest", sa.String(64), nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("checks", sa.JSON, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("envelope", sa.Text),
)
webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(256), nullable=False, unique=True),
    sa.Column("description", sa.Text),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("secret", sa.Text),
    sa.Column("events", sa.JSON, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False),
)
webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("webhook_id", sa.ForeignKey("webhooks.id"), nullable=False),
    sa.Column("entity", sa.String(64), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("attempt_count", sa.Integer, nullable=False),
    sa.Column("next_ms", sa.BigInteger, index=True),
    sa.Column("problem", sa.Text),
)
