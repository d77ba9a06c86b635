"""What a serve process says of itself reaches the store, also one that was away when it said it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.base.errors import Unavailable
from penstock.base.store.database import Database
from penstock.processes.reporting import WorkerReports
from penstock.serving.workers import State, list_workers, serving_workers, worker_revisions
from serving.models import deploy


@pytest.fixture
def reports(database: Database) -> WorkerReports:
    return WorkerReports(database, "http://127.0.0.1:8080")


@contextmanager
def away(database: Database) -> Iterator[None]:
    """Take the store's file away for a while."""
    file = Path(str(database.engine.url.database))
    file.rename(file.with_suffix(".away"))
    try:
        yield
    finally:
        file.with_suffix(".away").rename(file)


def said(database: Database, endpoint: str) -> tuple[str, str] | None:
    """Return what the store knows of the process and the first revision of an endpoint."""
    with database.read() as connection:
        (worker,) = list_workers(connection, 0)
    found = worker.state_of(endpoint, 1)
    return None if found is None else (found.state, found.message)


@pytest.mark.parametrize("state", ["ready", "failed", "hindered", "waiting"])
def test_what_finds_the_store_away_is_told_with_the_next_beat(
    reports: WorkerReports, database: Database, state: State
) -> None:
    delay, price = deploy(database, "delay", 1), deploy(database, "price", 1)
    for revision in (delay, price):
        with away(database), pytest.raises(Unavailable):
            reports.report(revision, state, "why")
    with away(database), pytest.raises(Unavailable):
        reports.beat()
    assert said(database, "delay") is None
    reports.beat()
    assert said(database, "delay") == said(database, "price") == (state, "why")


def test_the_next_report_tells_what_was_not_told_before(reports: WorkerReports, database: Database) -> None:
    delay, price = deploy(database, "delay", 1), deploy(database, "price", 1)
    with away(database), pytest.raises(Unavailable):
        reports.report(delay, "waiting", "it loads")
    reports.report(price, "ready", "")
    assert (said(database, "delay"), said(database, "price")) == (("waiting", "it loads"), ("ready", ""))
    reports.report(delay, "ready", "")
    reports.beat()
    assert said(database, "delay") == ("ready", "")


def test_a_store_that_does_not_know_the_process_learns_all_by_whatever_is_said_first(
    reports: WorkerReports, database: Database
) -> None:
    delay, price = deploy(database, "delay", 1), deploy(database, "price", 1)
    reports.report(delay, "ready", "")
    with database.write() as connection:  # as a store that was put back
        connection.execute(worker_revisions.delete())
        connection.execute(serving_workers.delete())
    reports.report(price, "ready", "")
    assert said(database, "delay") == said(database, "price") == ("ready", "")


def test_characters_that_no_store_keeps_hold_nothing_back(reports: WorkerReports, database: Database) -> None:
    delay = deploy(database, "delay", 1)
    with away(database), pytest.raises(Unavailable):
        reports.report(delay, "failed", "ValueError: a\0b \udcff")
    reports.beat()
    assert said(database, "delay") == ("failed", "ValueError: a?b ?")
