"""The tables of users, their tokens and grants. Passwords and tokens are kept as hashes only."""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.store.database import metadata

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("password_hash", sa.Text),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("user", sa.ForeignKey("users.name"), nullable=False, index=True),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("revoked_ms", sa.BigInteger),
    sa.Column("scopes", sa.Text),  # names with commas; null: everything that the user may
    sa.Column("endpoints", sa.Text),  # the same; null: every endpoint
    sa.Column("expires_ms", sa.BigInteger),  # null: it does not end
    sa.Column("used_ms", sa.BigInteger),  # the last use, an hour behind at most
)
grants = sa.Table(
    "grants",
    metadata,
    sa.Column("user", sa.ForeignKey("users.name"), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("resource", sa.String(500), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
)
