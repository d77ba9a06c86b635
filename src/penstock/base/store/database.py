"""The store: one SQLAlchemy engine over SQLite or PostgreSQL.

Each part declares its own tables on `metadata`; the schema itself is made and moved by the Alembic
migrations beside this file. SQLite runs in WAL mode with `synchronous=FULL`: a decision that was
acknowledged survives a power cut. A URL that ends with `?synchronous=normal` flushes at checkpoints only:
what was acknowledged survives a kill of the process, not a power cut. Writers take the lock at the start of
the transaction, so two of them wait for each other instead of failing half-way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from penstock.base.errors import Invalid, NotFound
from penstock.base.store.connection import PRAGMAS, StoreConnection, open_store
from penstock.base.store.failures import away, shown_url, told_of_store
from penstock.base.store.json_columns import read_json, write_json

READ_TIMEOUT_S = 30
"""PostgreSQL ends a reading statement that takes longer, so that no question occupies it for ever."""
GRACE_S = 5
"""So much later a reading statement is given up here, where the server did not end it."""
ROWS_AT_ONCE = 100
"""Rows that one statement inserts into SQLite: a third less of the processor than one row a statement."""
metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Database:
    """Transactions on one store. Thread-safe; one instance per process."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @property
    def url(self) -> str:
        """The store's URL as it was given, its password hidden."""
        return shown_url(self.engine.url)

    @property
    def is_made(self) -> bool:
        """Whether the store is there; only one in a file that nobody has written yet is not."""
        return True

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection that sees one consistent state; nothing is written.

        Raises:
            Unavailable: the store cannot be reached, or lacks a table or column (`store.schema_changed`).
            Invalid: PostgreSQL took longer than `READ_TIMEOUT_S` for a statement (`store.too_slow`).
        """
        with self._connect(writes=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection whose changes are committed when the block succeeds, all or none.

        Raises:
            Unavailable: the store cannot be reached, stayed locked for `BUSY_TIMEOUT_S`, or takes no writes (`store.read_only`).
        """
        with self._connect(writes=True) as connection:
            yield connection

    @contextmanager
    def _connect(self, *, writes: bool) -> Iterator[sa.Connection]:
        try:
            with (
                self.engine.connect().execution_options(penstock_writes=writes) as connection,
                connection.begin(),
            ):
                yield connection
        except sa.exc.TimeoutError as error:
            raise away(self.url, "every connection to it waits for it already") from error
        except sa.exc.DatabaseError as error:
            told = told_of_store(error, self.engine.url)
            if told is None:
                raise
            raise told from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def connect(url: str, *, must_exist: bool = False) -> Database:
    """Open a store by URL (`sqlite:///PATH` or `postgresql://…`); the schema is not touched.

    Args:
        must_exist: whether an SQLite file that is not there is an error; else it is made with its first table.

    Raises:
        Invalid: the URL cannot be read or names another kind of database.
        NotFound: the file must exist and does not.
    """
    try:
        parsed = sa.engine.make_url(url)
    except sa.exc.ArgumentError:
        raise Invalid(
            f"not a database URL: {url!r}", code="store.bad_url", hint="sqlite:///.penstock/penstock.db"
        ) from None
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    kind = parsed.get_backend_name()
    if kind not in {"sqlite", "postgresql"}:
        raise Invalid(
            f"store kind {kind!r} is not supported",
            code="store.bad_url",
            hint="use sqlite:///… or postgresql://…",
        )
    if must_exist and kind == "sqlite" and not Path(parsed.database or "").is_file():
        raise NotFound(f"there is no file {parsed.database}", code="store.missing", url=url)
    engine = _sqlite_engine(parsed) if kind == "sqlite" else _postgresql_engine(parsed)
    sa.event.listen(engine, "before_cursor_execute", _check_parameters)
    return Database(engine)


def check_texts(values: Iterable[tuple[str, Any]]) -> None:
    """Check that every text can be kept: PostgreSQL has no place for a zero character, so no store takes it.

    Raises:
        Invalid: one cannot; the error names its column.
    """
    for name, value in values:
        if isinstance(value, str) and "\0" in value:
            raise Invalid(
                f"'{name}' holds a zero character (NUL), which the store cannot keep: {value[:100]!r}",
                code="store.bad_value",
                hint="change the value",
                field=name,
            )


def upsert(dialect: str, table: sa.Table) -> Any:
    """Return an INSERT of a dialect (`connection.dialect.name`) that knows `on_conflict_do_…`."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def insert_rows(
    connection: sa.Connection,
    statement: sa.Insert,
    names: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Run an INSERT once for each row of values, which the driver takes as they are.

    A third of the cost of `connection.execute` with a list of mappings, whose values are looked up and converted
    one by one; so the columns must be of types the driver knows: text, numbers, booleans, bytes. SQLite takes many rows
    in one step, in which other threads run.

    Args:
        names: the columns, in the order of the values.
        shared: values of further columns, the same in every row; SQLite takes them once for many rows.
    """
    same = tuple((shared or {}).values())
    check_texts((shared or {}).items())
    for row in rows:
        for value in row:
            if value.__class__ is str and "\0" in value:
                check_texts(zip(names, row, strict=True))
    every = (*names, *(shared or {}))
    sql, order = _compile_insert(statement, connection.dialect, every)
    if order is None:
        if rows:
            connection.exec_driver_sql(sql, [dict(zip(every, (*row, *same), strict=True)) for row in rows])
        return
    full = len(rows) - len(rows) % ROWS_AT_ONCE if connection.dialect.name == "sqlite" else 0
    if full:
        sql_at_once = _at_once(sql, order, len(names))
        for start in range(0, full, ROWS_AT_ONCE):
            values = chain.from_iterable(rows[start : start + ROWS_AT_ONCE])
            connection.exec_driver_sql(sql_at_once, (*same, *values))
    if rows[full:]:
        wholes = [(*row, *same) for row in rows[full:]]
        connection.exec_driver_sql(sql, [tuple([one[place] for place in order]) for one in wholes])


@lru_cache(maxsize=64)
def _at_once(sql: str, order: tuple[int, ...], row_width: int) -> str:
    """Return an INSERT of `ROWS_AT_ONCE` rows, whose places are numbered: first the values that all rows share."""
    shared_count = len(order) - row_width
    rows = []
    for begin in range(shared_count + 1, shared_count + 1 + ROWS_AT_ONCE * row_width, row_width):
        numbers = [begin + place if place < row_width else place - row_width + 1 for place in order]
        rows.append(f"({', '.join(f'?{number}' for number in numbers)})")
    return sql.replace(f"({', '.join('?' * len(order))})", ", ".join(rows), 1)


@lru_cache(maxsize=64)
def _compile_insert(
    statement: sa.Insert, dialect: sa.Dialect, names: tuple[str, ...]
) -> tuple[str, tuple[int, ...] | None]:
    """Return the SQL, and for a driver with places instead of names which value goes to which place."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    places = getattr(compiled, "positiontup", None)
    return str(compiled), None if places is None else tuple(names.index(name) for name in places)


def _check_parameters(
    _connection: sa.Connection, _cursor: Any, _sql: str, _parameters: Any, context: Any, _many: bool
) -> None:
    for parameters in getattr(context, "compiled_parameters", None) or ():
        check_texts(parameters.items())


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    path = Path(url.database).absolute() if url.database else None
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)  # it holds hashes of passwords and the secrets of webhooks
    synchronous = str(url.query.get("synchronous", "full")).lower()
    if synchronous not in {"full", "normal"}:
        raise Invalid(
            f"synchronous={synchronous!r} in the store's URL is not known",
            code="store.bad_url",
            hint="?synchronous=full (survives a power cut) or ?synchronous=normal (survives a kill)",
        )
    pragmas = (*PRAGMAS, f"synchronous={synchronous}", "cache_size=-32000")

    def open_file() -> sqlite3.Connection:
        return open_store(path, pragmas)

    engine = sa.create_engine(
        url.difference_update_query(["synchronous"]),
        creator=open_file,
        hide_parameters=True,  # secrets are among them
        pool_use_lifo=True,  # the connection that was used last has in its cache what is asked again
    )

    def require_same_file(connection: StoreConnection, _record: Any, _proxy: object) -> None:
        if not connection.is_same_file:
            raise sa.exc.DisconnectionError("the store's file is another one now, or gone")

    sa.event.listen(engine, "checkout", require_same_file)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    from penstock.base.store.postgresql import HeardConnection

    engine = sa.create_engine(
        url, json_serializer=write_json, json_deserializer=read_json, hide_parameters=True
    )
    has_own = "statement_timeout" in str(url.query.get("options", ""))

    def open_heard(_dialect: sa.Dialect, _record: object, _args: object, parameters: dict[str, Any]) -> Any:
        return HeardConnection.open(parameters)

    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("penstock_writes", True)
        heard = connection.connection.driver_connection
        if isinstance(heard, HeardConnection):
            heard.read_limit_s = None if writes or has_own else READ_TIMEOUT_S + GRACE_S
        _begin_postgresql(connection, writes=writes)

    def configure(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            # compiling a statement of hundreds of comparisons takes longer than running it
            cursor.execute("SET jit = off")
            if not has_own:
                cursor.execute(f"SET statement_timeout = '{READ_TIMEOUT_S}s'")
        connection.commit()

    sa.event.listen(engine, "do_connect", open_heard)
    sa.event.listen(engine, "connect", configure)
    sa.event.listen(engine, "begin", begin)
    return engine


def _begin_postgresql(connection: sa.Connection, *, writes: bool) -> None:
    if writes:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    else:
        # by default each statement sees what was committed until then, so that two of them disagree
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("penstock_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
