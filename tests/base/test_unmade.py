"""A store that nobody has made yet is read by many threads at once, and made while they read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from patience import PATIENCE_S
from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from penstock.base.store.unmade import UnmadeDatabase

COUNT = sa.text("SELECT count(*) FROM experiments")


def make(file: Path) -> Database:
    database = connect(f"sqlite:///{file}")
    upgrade(database)
    return database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[UnmadeDatabase]:
    file = tmp_path / "store.db"
    database = UnmadeDatabase(file, partial(make, file))
    yield database
    database.close()


def test_threads_that_read_it_leave_nothing_that_another_cannot_close(
    store: UnmadeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """More threads than a pool keeps connections, some of them gone by the time that it is made."""
    caplog.set_level(logging.WARNING)
    found: list[int] = []
    is_read, may_end = threading.Barrier(9), threading.Event()

    def read(*, stay: bool) -> None:
        with store.read() as connection:
            found.append(connection.execute(COUNT).scalar_one())
        if stay:
            is_read.wait(PATIENCE_S)
            may_end.wait(PATIENCE_S)

    for stay in (False, True):
        threads = [threading.Thread(target=partial(read, stay=stay)) for _ in range(8)]
        for thread in threads:
            thread.start()
        if not stay:
            for thread in threads:
                thread.join()
    is_read.wait(PATIENCE_S)
    assert not store.is_made
    with store.write() as connection:
        assert connection.execute(COUNT).scalar_one() == 1
    may_end.set()
    for thread in threads:
        thread.join()
    assert store.is_made
    assert found == [1] * 16
    assert [record.getMessage() for record in caplog.records] == []


def test_who_reads_while_it_is_made_reads_on(store: UnmadeDatabase, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with ExitStack() as readers:
        reading = [readers.enter_context(store.read()) for _ in range(3)]
        maker = threading.Thread(target=lambda: readers.enter_context(store.write()).execute(COUNT))
        maker.start()
        maker.join()
        assert store.is_made
        assert [one.execute(COUNT).scalar_one() for one in reading] == [1] * 3
    assert [record.getMessage() for record in caplog.records] == []
