"""What older stores hold is kept when their schema is brought to this program's."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from penstock.base.store.database import connect
from penstock.base.store.migrate import MIGRATIONS, run_migrations, upgrade
from penstock.monitoring.quality.measures import Quality
from penstock.registry.versions import list_versions_of_input


def test_old_revisions_get_their_kind_from_the_events_and_old_windows_their_labels(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/store.db")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(
            sa.text("INSERT INTO endpoints (id, name, model, current_revision) VALUES (1, 'delay', 'm', 3)")
        )
        for number, kind in ((1, "deployed"), (2, "canary"), (3, "rolled_back")):
            connection.execute(
                sa.text(
                    "INSERT INTO revisions (endpoint_id, number, model, stable, shadows, steps, created_ms, actor, "
                    "reason, cause) VALUES (1, :number, 'm', 1, '[]', '[]', 0, 'ada', '', '{}')"
                ),
                {"number": number},
            )
            event = "INSERT INTO events (time_ms, kind, subject, actor, summary, cause, before, after) VALUES (0, :kind, 'endpoint:delay', 'ada', '', '{}', '{}', :after)"
            after = json.dumps({"revision": number})
            connection.execute(sa.text(event), {"kind": f"endpoint.{kind}", "after": after})
        window = (
            "INSERT INTO windows (endpoint, start_s, revision, version, route, worker, sequence, window_s, "
            "request_count, error_count, row_count, quality) VALUES ('delay', 0, 1, 1, 'stable', 1, :sequence, 60, 1, 0, 1, :quality)"
        )
        # as format 1 wrote it: positives, negatives, and count, sum and squares of five losses
        packed = _format_1(labels=7)
        connection.execute(sa.text(window), {"sequence": 1, "quality": packed})
        connection.execute(sa.text(window), {"sequence": 2, "quality": None})
    upgrade(database)
    with database.read() as connection:
        kinds = connection.exec_driver_sql("SELECT kind FROM revisions ORDER BY number").scalars().all()
        counts = (
            connection.exec_driver_sql("SELECT label_count FROM windows ORDER BY sequence").scalars().all()
        )
    assert kinds == ["deployed", "canary", "rolled_back"]
    assert counts == [7, 0]
    database.close()


def _format_1(labels: int) -> bytes:
    import msgspec

    sums = [(labels, 1.0, 1.0), (labels, 1.0, 1.0), (0, 0.0, 0.0), (0, 0.0, 0.0), (0, 0.0, 0.0)]
    packed = msgspec.msgpack.encode([1, [], [5, labels], sums])
    assert Quality.from_bytes(packed).label_count == labels
    return packed


def test_what_old_versions_were_made_of_is_found_by_its_path(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/store.db")
    run_migrations(database, "0004")
    with database.write() as connection:
        connection.execute(
            sa.text("INSERT INTO registered_models (name, created_ms, newest_number) VALUES ('m', 0, 2)")
        )
        for number, data in ((1, {"data/raw.csv": "md5:1"}), (2, {})):
            connection.execute(
                sa.text(
                    "INSERT INTO model_versions (model, number, digest, created_ms, actor, path, manifest, provenance, "
                    "metrics) VALUES ('m', :number, 'd', 0, 'ci', 'm', '{\"files\": []}', :origin, '{}')"
                ),
                {"number": number, "origin": json.dumps({"data": data})},
            )
    upgrade(database)
    with database.read() as connection:
        assert [one.ref for one in list_versions_of_input(connection, "data/raw.csv")] == ["m/1"]
    database.close()
