"""The store: one SQLAlchemy engine over SQLite or PostgreSQL.

Each part declares its own tables on `metadata`; the schema itself is made and moved by the Alembic
migrations beside this file. SQLite runs in WAL mode with `synchronous=FULL`: a decision that was
acknowledged survives a power cut. Writers take the lock at the start of the transaction, so two of them
wait for each other instead of failing half-way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import Corrupt, Invalid, Unavailable

BUSY_TIMEOUT_S = 30
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
        """The store's URL with its password hidden."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection that sees one consistent state; nothing is written.

        Raises:
            Unavailable: the store cannot be reached.
        """
        with self._connect(writes=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection whose changes are committed when the block succeeds, all or none.

        Raises:
            Unavailable: the store cannot be reached, or stayed locked for `BUSY_TIMEOUT_S`.
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
        except sa.exc.DatabaseError as error:
            if not isinstance(error, sa.exc.OperationalError):
                if "not a database" not in str(error.orig) and "malformed" not in str(error.orig):
                    raise
                raise Corrupt(
                    f"the store {self.url} is damaged: {error.orig}",
                    code="store.corrupt",
                    hint="put a copy of it back; what is in git, cache and remote is not touched",
                ) from error
            raise Unavailable(
                f"the store {self.url} did not answer: {error.orig}",
                code="store.unavailable",
                hint="check `store:` in penstock.yaml and that the database runs",
            ) from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def connect(url: str) -> Database:
    """Open a store by URL (`sqlite:///PATH` or `postgresql://…`); the schema is not touched.

    Raises:
        Invalid: the URL cannot be read or names another kind of database.
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
    if kind == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S} if kind == "sqlite" else {})
    if kind == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return Database(engine)


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late for readers and writers alike
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("penstock_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
