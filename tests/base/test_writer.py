"""Writes that arrive together are committed together, each for itself; on both engines."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from patience import PATIENCE_S
from penstock.base.errors import Invalid, Unavailable
from penstock.base.store.database import Database
from penstock.base.store.events import list_events, record_event
from penstock.base.store.writer import GroupWriter


def test_every_caller_gets_its_own_result(either_store: Database) -> None:
    writer = GroupWriter(either_store)
    futures = [
        writer.submit(lambda connection, n=number: record_event(connection, "a.b", f"x:{n}", "me", str(n)))  # type: ignore[misc]
        for number in range(300)
    ]
    ids = [future.result(PATIENCE_S) for future in futures]
    writer.close()
    with either_store.read() as connection:
        found = {event.id: event.summary for event in list_events(connection, limit=1000)}
    assert [found[one] for one in ids] == [str(number) for number in range(300)]


def test_one_that_fails_takes_nothing_with_it(either_store: Database) -> None:
    writer, gate = GroupWriter(either_store), threading.Event()

    def fail(connection: sa.Connection) -> None:
        record_event(connection, "a.b", "x:bad", "me", "half")
        raise Invalid("no", code="test.no")

    writer.submit(lambda _: gate.wait(PATIENCE_S))  # so that the next three are one group
    first = writer.submit(lambda connection: record_event(connection, "a.b", "x:1", "me", "one"))
    bad = writer.submit(fail)
    last = writer.submit(lambda connection: record_event(connection, "a.b", "x:2", "me", "two"))
    gate.set()
    assert first.result(PATIENCE_S) < last.result(PATIENCE_S)
    with pytest.raises(Invalid, match="no"):
        bad.result(PATIENCE_S)
    writer.close()
    with either_store.read() as connection:
        assert [event.summary for event in list_events(connection)] == ["one", "two"]


def test_a_closed_writer_has_done_what_it_was_given_and_takes_no_more(either_store: Database) -> None:
    writer = GroupWriter(either_store)
    given = [
        writer.submit(lambda connection: record_event(connection, "a.b", "x", "me", "s")) for _ in range(50)
    ]
    writer.close()
    assert all(future.done() for future in given)
    with pytest.raises(Unavailable):
        writer.submit(lambda _: None)
