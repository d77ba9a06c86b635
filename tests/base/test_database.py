"""The store: transactions are whole, the schema is what the code says, on SQLite and PostgreSQL."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import penstock
from penstock.base.clock import now_ms
from penstock.base.errors import Corrupt, Invalid, Unavailable
from penstock.base.store.database import Database, connect, insert_rows, metadata, upsert
from penstock.base.store.events import check_writes, list_events, record_event
from penstock.base.store.migrate import run_migrations, upgrade
from penstock.base.store.schema import POSTGRESQL_SCRIPT, SCRIPT, dump_schema, recorded, script_of
from penstock.base.store.writer import GroupWriter
from servers.postgres import PostgresServer


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_schema()


def import_every_module() -> None:
    """Import all that declares tables; what needs a library that is not installed here declares none."""
    for module in pkgutil.walk_packages(penstock.__path__, "penstock."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if (error.name or "").startswith("penstock"):
                    raise


def test_the_migrations_make_exactly_the_declared_tables(url: str) -> None:
    import_every_module()
    database = connect(url)
    upgrade(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_two_processes_may_upgrade_at_once(url: str) -> None:
    failures: list[Exception] = []

    def run() -> None:
        try:
            database = connect(url)
            upgrade(database)
            database.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_failed_decision_leaves_no_event(url: str) -> None:
    database = connect(url)
    upgrade(database)
    with pytest.raises(RuntimeError), database.write() as connection:
        record_event(connection, "a.b", "x:1", "me", "half")
        raise RuntimeError
    with database.write() as connection:
        record_event(connection, "a.b", "x:1", "me", "whole", cause={"ü": [1]})
    with database.read() as connection:
        assert [(event.summary, event.cause) for event in list_events(connection)] == [("whole", {"ü": [1]})]
    database.close()


def test_writers_wait_for_each_other(url: str) -> None:
    database = connect(url)
    upgrade(database)
    failures: list[Exception] = []

    def write(name: str) -> None:
        try:
            for _ in range(20):
                with database.write() as connection:
                    record_event(connection, "a.b", name, "me", "x")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"x:{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM events")) == 80
    database.close()


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/store.db")
    upgrade(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Invalid, match="has schema 9999"):
        upgrade(database)
    database.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite//x"])
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        connect(url)


def test_a_store_that_is_down_is_unavailable() -> None:
    database = connect("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="did not answer"):
        upgrade(database)


def test_the_password_is_not_shown() -> None:
    database: Database = connect("postgresql://ada:secret@127.0.0.1:1/none")
    assert "secret" not in database.url


def test_a_damaged_store_is_named_and_not_a_defect(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(Corrupt, match="is damaged"):
        upgrade(connect(f"sqlite:///{tmp_path}/store.db"))


def test_a_new_store_is_what_the_migrations_make(tmp_path: Path) -> None:
    made, migrated = connect(f"sqlite:///{tmp_path}/made.db"), connect(f"sqlite:///{tmp_path}/migrated.db")
    upgrade(made)
    run_migrations(migrated)
    with made.write() as connection:
        dated = "UPDATE experiments SET created_ms = 0, updated_ms = 0 WHERE id = 0 AND created_ms > 0"
        assert connection.exec_driver_sql(dated).rowcount == 1
    for database in (made, migrated):
        database.close()
    script = dump_schema(tmp_path / "migrated.db")
    assert dump_schema(tmp_path / "made.db") == script
    assert SCRIPT.read_text() == script, "a migration was added: make schema"


@pytest.mark.slow
def test_a_new_store_on_postgresql_is_what_the_migrations_make(postgres: PostgresServer) -> None:
    made, migrated = connect(postgres.new_schema()), connect(postgres.new_schema())
    upgrade(made)
    with recorded(migrated) as statements:
        run_migrations(migrated)
    assert POSTGRESQL_SCRIPT.read_text() == script_of(statements), "a migration was added: make schema"
    shapes = []
    for database in (made, migrated):
        with database.read() as connection:
            looked = sa.inspect(connection)
            shapes.append(
                {
                    name: repr(
                        [
                            looked.get_columns(name),
                            looked.get_indexes(name),
                            looked.get_foreign_keys(name),
                            looked.get_unique_constraints(name),
                            looked.get_check_constraints(name),
                        ]
                    )
                    for name in looked.get_table_names()
                }
            )
        database.close()
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) > 40


def test_a_new_store_is_its_owner_s_alone(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/store.db")
    upgrade(database)
    with database.write() as connection:
        record_event(connection, "a", "b", "c", "d")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    database.close()
    assert set(modes.values()) == {0o600}, modes


def test_the_first_experiment_has_the_time_of_its_store(either_store: Database) -> None:
    def times() -> tuple[int, int]:
        with either_store.read() as connection:
            row = connection.exec_driver_sql("SELECT created_ms, updated_ms FROM experiments").one()
            return row[0], row[1]

    made = times()
    assert 0 < made[0] <= made[1] <= now_ms()
    upgrade(either_store)
    assert times() == made
    with either_store.write() as connection:
        connection.exec_driver_sql("UPDATE experiments SET created_ms = 0")
        connection.exec_driver_sql(
            "INSERT INTO runs (id, experiment_id, name, status, start_ms) VALUES ('r', 0, 'r', 'FINISHED', 77)"
        )
    upgrade(either_store)
    assert times() == (77, made[1])


def test_what_is_read_is_one_state_on_either_store(either_store: Database) -> None:
    count = sa.text("SELECT count(*) FROM events")
    with either_store.read() as connection:
        before = connection.scalar(count)
        with either_store.write() as other:
            record_event(other, "a.b", "x:1", "me", "meanwhile")
        assert connection.scalar(count) == before
    with either_store.read() as connection:
        assert connection.scalar(count) == (before or 0) + 1


def test_the_third_migration_keeps_every_point_and_what_mlflow_left(url: str) -> None:
    """`mlflow gc` once made empty tables of its own here; they stay, and the upgrade goes on."""
    import_every_module()
    database = connect(url)
    run_migrations(database, "0002")
    point = "INSERT INTO logged_model_metrics (model_id, key, time_ms, step, run_id, value, is_nan, dataset_name) "
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE tags (key VARCHAR(250))")
        connection.exec_driver_sql(
            "INSERT INTO logged_models (id, experiment_id, name, status, created_ms, updated_ms) "
            "VALUES ('m-1', 0, 'm', 'LOGGED_MODEL_READY', 1, 1)"
        )
        for step, name in ((1, "NULL"), (2, "'train'")):
            connection.exec_driver_sql(f"{point} VALUES ('m-1', 'acc', 7, {step}, 'r', 0.5, false, {name})")
    upgrade(database)
    with database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT step, value, dataset_name, dataset_digest FROM logged_model_metrics ORDER BY step"
        )
        assert [tuple(row) for row in rows] == [(1, 0.5, "", ""), (2, 0.5, "train", "")]
        assert sa.inspect(connection).has_table("tags")
    database.close()


def test_many_rows_are_inserted_in_few_statements_and_none_twice(either_store: Database) -> None:
    table = metadata.tables["predictions"]
    names = ("version", "id", "endpoint", "revision", "route", "window_start_s", "outputs", "row_count")
    for count in (1, 99, 100, 250):
        with either_store.write() as connection:
            connection.execute(table.delete())
            statement = upsert(connection.dialect.name, table).on_conflict_do_nothing()
            rows = [(1, f"p{index}", "e", 1, "stable", 0, b"\0x", index) for index in range(count)]
            insert_rows(connection, statement, names, rows)
            insert_rows(
                connection, statement, names, [*rows[: count // 2], (1, "last", "e", 1, "stable", 0, b"", 7)]
            )
            found = connection.execute(sa.select(table.c.id, table.c.row_count, table.c.outputs)).all()
        wanted = {(f"p{index}", index, b"\0x") for index in range(count)} | {("last", 7, b"")}
        assert set(map(tuple, found)) == wanted and len(found) == count + 1
    with (
        pytest.raises(Invalid, match="'endpoint' holds a zero character"),
        either_store.write() as connection,
    ):
        insert_rows(connection, statement, names, [*rows, (1, "new", "a\0b", 1, "stable", 0, b"", 7)])


def test_what_all_rows_share_is_given_once_and_stands_in_each(either_store: Database) -> None:
    table = metadata.tables["predictions"]
    shared = {"window_start_s": 7, "endpoint": "e", "version": 3, "revision": 1, "route": "stable"}
    names = ("outputs", "id", "row_count")
    statement = upsert(either_store.engine.dialect.name, table).on_conflict_do_nothing()
    for count in (0, 1, 250):
        with either_store.write() as connection:
            connection.execute(table.delete())
            rows = [(b"x%d" % index, f"p{index}", index) for index in range(count)]
            insert_rows(connection, statement, names, rows, shared)
            kept = (table.c[name] for name in (*names, *shared))
            found = connection.execute(sa.select(*kept)).all()
        assert set(map(tuple, found)) == {(*row, *shared.values()) for row in rows}
    with pytest.raises(Invalid, match="'route' holds a zero"), either_store.write() as connection:
        insert_rows(connection, statement, names, rows, {**shared, "route": "a\0b"})


@pytest.mark.parametrize("words", ["SELECT nope FROM events", "SELECT 1 FROM nope", "INSERT INTO events (nope) VALUES (1)"])  # fmt: skip
def test_a_store_that_was_upgraded_meanwhile_is_told_as_such(either_store: Database, words: str) -> None:
    with (
        pytest.raises(Unavailable, match="is not as this program knows it") as told,
        either_store.write() as connection,
    ):
        connection.exec_driver_sql(words)
    assert told.value.code == "store.schema_changed"
    assert "upgrade this one" in (told.value.hint or "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["replica", "role"])
def test_a_store_that_takes_no_writes_is_told_without_what_was_to_be_written(
    postgres: PostgresServer, kind: str
) -> None:
    url = postgres.new_database()
    upgrade(made := connect(url))
    name = url.rpartition("/")[2]
    with made.write() as connection:
        if kind == "replica":
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        else:
            connection.exec_driver_sql(f"CREATE ROLE reads_{name} LOGIN")
            connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reads_{name}")
    made.close()
    database = connect(url if kind == "replica" else url.replace("tester@", f"reads_{name}@"))
    with database.read() as connection:
        assert list_events(connection) == []
    with pytest.raises(Unavailable) as told, database.write() as connection:
        check_writes(connection)
    assert told.value.code == "store.read_only"
    with pytest.raises(Unavailable) as told, database.write() as connection:
        record_event(connection, "a.b", "s", "me", "SECRET")
    assert "takes no writes" in told.value.message
    assert "SECRET" not in f"{told.value} {told.value.__cause__}"
    writer = GroupWriter(database)
    with pytest.raises(Unavailable, match="takes no writes"):
        writer.submit(lambda connection: record_event(connection, "a.b", "s", "me", "SECRET")).result()
    writer.close()
    database.close()
