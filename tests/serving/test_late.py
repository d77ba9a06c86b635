"""What a serve process cannot write by its end is written by the next one, once; what is lost is told and counted."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from patience import PATIENCE_S
from penstock.base.store.database import Database
from penstock.base.store.events import list_events
from penstock.flows.production.live.late import LateRecords
from penstock.flows.production.live.recording import LiveRecorder
from penstock.flows.production.live.spool import MAX_BYTES
from penstock.monitoring.windows import list_windows
from penstock.serving.predictions.stored import list_predictions, predictions
from penstock.workspace import open_workspace
from servers.forking import start_penstock
from serving.clients import BODY
from serving.test_record import observe
from serving.test_room import FOR_EVER, rows_of
from stories.live import wait_until

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def serving(root: Path, log: Path) -> Iterator[str]:
    """Run `penstock serve` until SIGTERM has ended it."""
    with log.open("wb") as file:
        process = start_penstock(["-C", str(root), "serve", "--port", "0"], root, file.fileno())
    try:
        wait_until(lambda: "is served" in log.read_text())
        url = re.findall(r"serving on (\S+) as", log.read_text())[0]
        httpx.get(f"{url}/v2/health/ready", timeout=PATIENCE_S)  # from then on SIGTERM is heard
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def test_what_was_seen_while_the_store_was_locked_at_the_end_is_written_by_the_next_start_once(
    released_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(released_root, root, symlinks=True)
    project = open_workspace(root, {"USER": "ada"})
    first, second, third = (tmp_path / f"{name}.log" for name in ("first", "second", "third"))
    lock = sqlite3.connect(root / ".penstock" / "penstock.db", isolation_level=None)
    with serving(root, first) as url, httpx.Client(base_url=url, timeout=PATIENCE_S) as client:

        def ask() -> str:
            return str(client.post("/v2/models/delay/infer", json=BODY).raise_for_status().json()["id"])

        def count() -> int:
            with project.database.read() as connection:
                return sum(one.request_count for one in list_windows(connection, "delay"))

        ids = [ask()]
        wait_until(lambda: count() == 1)
        lock.execute("BEGIN IMMEDIATE")
        ids += [ask() for _ in range(99)]
    lock.execute("ROLLBACK")
    lock.close()
    assert re.search(
        r"what is known of 99 requests waits in \S+ and is written by the next start", first.read_text()
    )
    with serving(root, second):
        wait_until(lambda: "could not write of 99 requests is written" in second.read_text())
    with serving(root, third):
        pass
    assert count() == 100
    with project.database.read() as connection:
        assert {one.id for one in list_predictions(connection, ids)} == set(ids)
    assert list((root / ".penstock" / "serve").iterdir()) == []
    project.close()


@pytest.mark.parametrize("max_bytes", [MAX_BYTES, 3_000, 0])
def test_of_what_there_is_no_room_for_the_counts_are_kept_and_an_event_tells(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, max_bytes: int
) -> None:
    made = LiveRecorder(database, 1, FOR_EVER, flush_s=600, late=LateRecords(tmp_path, max_bytes))
    for counter in range(1, 6):
        made.record(observe(counter, [0.5]))
    made.flush()
    for counter in range(6, 101):
        made.record(observe(counter, [0.5]))
    made.refuse("delay", "serving.bad_request")
    with away(database):
        made.close()
    following = LiveRecorder(database, 2, FOR_EVER, flush_s=0.01, late=LateRecords(tmp_path))
    wait_until(lambda: following._late.is_delivered)
    following.close()
    with database.read() as connection:
        found = list_windows(connection, "delay")
        lost = [one.summary for one in list_events(connection, kind="endpoint.answers_lost")]
    counts = (sum(one.request_count for one in found), sum(one.dropped_count for one in found))
    answers = rows_of(database, predictions)
    if max_bytes == MAX_BYTES:
        assert (counts, answers, lost) == ((100, 0), 100, [])
        assert "what is known of 95 requests waits in" in caplog.text
    elif max_bytes:
        assert (counts, answers) == ((100, 95), 5)
        assert lost[0].startswith("95 answers of delay are lost")
        assert "their counts wait for the next start" in caplog.text
    else:
        assert (counts, answers, lost) == ((5, 0), 5, [])
        assert "the answers to 95 requests are lost" in caplog.text
        assert "not even of their counts" in caplog.text


@contextlib.contextmanager
def away(database: Database) -> Iterator[None]:
    """Let the store refuse to be written meanwhile."""
    path = database.engine.url.database
    assert path is not None
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        yield
        lock.execute("ROLLBACK")
