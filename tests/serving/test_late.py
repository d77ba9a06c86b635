"""What a serve process cannot write by its end is written by the next one, once; what is lost is told and counted."""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest

from patience import PATIENCE_S
from penstock.base.errors import Unavailable
from penstock.base.store.database import Database, connect
from penstock.base.store.events import list_events
from penstock.flows.production.live.late import Late, LateRecords
from penstock.flows.production.live.recording import LiveRecorder
from penstock.flows.production.live.spool import ENDING, MAX_BYTES, REFUSED, REFUSED_MAX, Spool
from penstock.monitoring.windows import list_windows
from penstock.serving.predictions.stored import list_predictions, predictions
from penstock.workspace import open_workspace
from servers.forking import start_penstock
from serving.clients import BODY
from serving.test_record import observe
from serving.test_room import FOR_EVER, rows_of
from stories.live import wait_until

pytestmark = pytest.mark.slow


BUSY_S = 3
"""So long a store that is locked is waited for here; each write in vain takes that long."""
SERVING = f"""
import sys
from penstock.base.store import connection
connection.BUSY_TIMEOUT_S, sys.argv[0] = {BUSY_S}, "penstock"
from penstock.cli.main import main
main()
"""


@pytest.fixture(autouse=True)
def _locked_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.base.store.connection.BUSY_TIMEOUT_S", BUSY_S)


@contextlib.contextmanager
def serving(root: Path, log: Path) -> Iterator[str]:
    """Run `penstock serve` until SIGTERM has ended it."""
    with log.open("wb") as file:
        process = start_penstock(["-C", str(root), "serve", "--port", "0"], root, file.fileno(), SERVING)
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


def keep(home: Path, counter: int) -> None:
    """Let a recorder end that saw one request, with a store that takes nothing: no table was made in it."""
    store = connect(f"sqlite:///{home.parent}/empty.db")
    made = LiveRecorder(store, counter, FOR_EVER, flush_s=600, late=LateRecords(home))
    made.record(observe(counter, [0.5]))
    made.close()
    store.close()


def deliver(database: Database, home: Path) -> None:
    following = LiveRecorder(database, 9, FOR_EVER, flush_s=0.01, late=LateRecords(home))
    wait_until(lambda: following._late.is_delivered)
    following.close()


def batches(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/*{ENDING}"))


def spoil(path: Path) -> None:
    """Let a batch name a column that the store has no more, as after a release that renamed one."""
    late = msgspec.msgpack.decode(path.read_bytes(), type=Late)
    for row in late.rows:
        row.whole["renamed"] = 1
    path.write_bytes(msgspec.msgpack.encode(late))


def test_what_the_store_refuses_is_put_aside_and_holds_nothing_back(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        keep(tmp_path, number)
    oldest, newest = batches(tmp_path / "serve")
    spoil(oldest)
    deliver(database, tmp_path)
    assert rows_of(database, predictions) == 1
    assert "what is known of 1 request is put aside in" in caplog.text
    assert [one.name for one in (tmp_path / "serve" / REFUSED).iterdir()] == [oldest.name]
    assert not newest.exists()


def test_what_cannot_be_put_aside_stays_where_it_is(database: Database, tmp_path: Path) -> None:
    keep(tmp_path, 1)
    (kept,) = batches(tmp_path / "serve")
    spoil(kept)
    (tmp_path / "serve" / REFUSED).write_bytes(b"")  # no folder can be made there
    deliver(database, tmp_path)
    assert [one.name for one in batches(tmp_path / "serve")] == [kept.name]
    (tmp_path / "serve" / REFUSED).unlink()
    (tmp_path / "serve" / REFUSED).mkdir()
    for number in range(REFUSED_MAX):
        (tmp_path / "serve" / REFUSED / str(number)).write_bytes(b"")
    deliver(database, tmp_path)
    assert kept.name in {one.name for one in (tmp_path / "serve" / REFUSED).iterdir()}


def test_what_cannot_be_read_now_is_read_when_it_can(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, 1)
    (kept,) = batches(tmp_path / "serve")
    data = kept.read_bytes()
    kept.unlink()
    kept.symlink_to(
        tmp_path, target_is_directory=True
    )  # reading fails with EISDIR, as it would with EMFILE or EIO
    following = LiveRecorder(database, 9, FOR_EVER, flush_s=0.01, late=LateRecords(tmp_path))
    wait_until(lambda: "cannot be read now" in caplog.text)
    (moved,) = batches(tmp_path / "serve")
    (moved.parent / ".whole").write_bytes(data)
    (moved.parent / ".whole").rename(moved)
    wait_until(lambda: following._late.is_delivered)
    following.close()
    assert rows_of(database, predictions) == 1
    assert caplog.text.count("cannot be read now") == 1


def test_a_folder_that_was_removed_meanwhile_is_made_again(database: Database, tmp_path: Path) -> None:
    late = LateRecords(tmp_path)
    shutil.rmtree(tmp_path / "serve")
    made = LiveRecorder(database, 1, FOR_EVER, flush_s=0.01, late=late)
    wait_until(lambda: late.is_delivered)
    made.close()
    counts = Late(rows=[], request_count=1, lost={"delay": 1})
    late.keep(counts, counts, Unavailable("away", code="test.away"))
    late.close()
    deliver(database, tmp_path)
    with database.read() as connection:
        assert len(list_events(connection, kind="endpoint.answers_lost")) == 1


def test_without_room_at_home_what_is_kept_elsewhere_reaches_its_own_project_alone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    mine, other = tmp_path / "mine", tmp_path / "other"
    for home in (mine, other):
        home.write_bytes(b"")  # a file: no folder can be made in it
    keep(mine, 1)
    deliver(database, other)
    assert rows_of(database, predictions) == 0
    mine.unlink()  # it can be written again
    deliver(database, mine)
    assert rows_of(database, predictions) == 1


def test_a_folder_for_temporary_files_that_others_may_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    home = tmp_path / "home"
    home.write_bytes(b"")
    made = Spool(home, "serve")
    assert made.folder is not None
    parent = made.folder.parent
    made.close()
    parent.chmod(0o777)
    assert Spool(home, "serve").folder is None


def test_without_room_for_the_reserve_no_file_stays_open(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        made = Spool(tmp_path, "serve", reserve_bytes=200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert made.folder is not None
    assert made.keep("serve", made.next_id(), 1, b"x")
    made.close()
    assert not [one for one in psutil.Process().open_files() if Path(one.path).is_relative_to(tmp_path)]
