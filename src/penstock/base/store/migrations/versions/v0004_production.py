"""What production acts on: policies, kinds of revisions, states of versions, alerts, label counts.

A revision says what kind of change it was, so that a rollback is known from a rollout. For old ones the
events tell.
"""

import json

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KINDS = {
    "endpoint.deployed": "deployed",
    "endpoint.canary": "canary",
    "endpoint.rolled_back": "rolled_back",
}


def upgrade() -> None:
    """Create the new tables, widen the old ones, keep every row."""
    op.add_column(
        "revisions", sa.Column("kind", sa.String(length=16), nullable=False, server_default="deployed")
    )
    op.add_column("model_alias_moves", sa.Column("cause", sa.JSON(), nullable=True))
    op.add_column("windows", sa.Column("label_count", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("windows", sa.Column("error_run_count", sa.Integer(), nullable=True))
    op.create_table(
        "policies",
        sa.Column("endpoint", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "number", name=op.f("pk_policies")),
    )
    op.create_table(
        "version_states",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version_states")),
    )
    op.create_index("ix_version_states_model_number", "version_states", ["model", "number"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("open_key", sa.String(length=64), nullable=True),
        sa.Column("endpoint", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=False),
        sa.Column("clean_ms", sa.BigInteger(), nullable=True),
        sa.Column("ends_ms", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("open_key", name=op.f("uq_alerts_open_key")),
    )
    op.create_index("ix_alerts_endpoint_id", "alerts", ["endpoint", "id"], unique=False)
    op.create_table(
        "alert_deliveries",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("alert_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=True),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_alert_deliveries_alert_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_deliveries")),
    )
    op.create_index(op.f("ix_alert_deliveries_next_ms"), "alert_deliveries", ["next_ms"], unique=False)
    _name_kinds()
    _count_labels()


def _name_kinds() -> None:
    """Tell every old revision what its event called it."""
    connection = op.get_bind()
    ids = {row.name: row.id for row in connection.execute(sa.text("SELECT id, name FROM endpoints"))}
    events = sa.table("events", sa.column("kind"), sa.column("subject"), sa.column("after", sa.JSON))
    query = sa.select(events).where(events.c.kind.in_(sorted(KINDS)))
    for row in connection.execute(query).all():
        after = json.loads(row.after) if isinstance(row.after, str) else row.after
        endpoint_id = ids.get(row.subject.removeprefix("endpoint:"))
        if endpoint_id is None or not isinstance(after, dict) or "revision" not in after:
            continue
        connection.execute(
            sa.text("UPDATE revisions SET kind = :kind WHERE endpoint_id = :id AND number = :number"),
            {"kind": KINDS[row.kind], "id": endpoint_id, "number": after["revision"]},
        )


def _count_labels() -> None:
    """Write beside every window how many labels its quality stands on."""
    connection = op.get_bind()
    keys = ("endpoint", "start_s", "revision", "version", "route", "worker", "sequence")
    windows = sa.table("windows", *map(sa.column, (*keys, "quality", "label_count")))
    where = [windows.c[key] == sa.bindparam(f"of_{key}") for key in keys]
    change = windows.update().where(*where).values(label_count=sa.bindparam("found"))
    for row in connection.execute(sa.select(windows).where(windows.c.quality.is_not(None))).all():
        brier, _, correct, absolute, _ = msgspec.msgpack.decode(bytes(row.quality))[3]
        found = max(brier[0], correct[0], absolute[0])
        connection.execute(change, {"found": found, **{f"of_{key}": getattr(row, key) for key in keys}})
