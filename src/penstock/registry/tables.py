"""The registry's tables. Rows of versions, moves and verdicts are never updated."""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.database import metadata

models = sa.Table(
    "registered_models",
    metadata,
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
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
    sa.Index("ix_model_alias_moves_model_name", "model", "name"),
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
)
