from __future__ import annotations

import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from patience import PATIENCE_S
from penstock.base.store.database import Database
from penstock.monitoring.windows import Window, list_windows
from penstock.serving.predictions.stored import list_labels, list_predictions, predictions
from servers.forking import HTTP_IMPORTS, MODEL_IMPORTS, Forked, penstock_server
from serving.models import FolderSource, deploy, request_body
from stories.live import wait_until

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("serve_files.py")
FLUSH_S = 0.2
"""How often `serve_files.py` writes."""
Start = Callable[[], tuple[Forked, str]]
SERVE = f"""
import runpy, sys
sys.path.insert(0, {str(SCRIPT.parent.parent)!r})
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


@pytest.fixture
def start(database: Database, source: FolderSource, tmp_path: Path) -> Iterator[Start]:
    deploy(database, "delay", 1)
    running: list[Forked] = []

    def begin() -> tuple[Forked, str]:
        words = [str(tmp_path / "penstock.db"), str(tmp_path / "models"), "0"]
        process, told = penstock_server(*MODEL_IMPORTS, *HTTP_IMPORTS).tell(words, tmp_path, program=SERVE)
        running.append(process)
        with told:
            url = told.readline().strip()

        def is_ready() -> bool:
            try:
                return httpx.get(f"{url}/v2/models/delay/ready").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(is_ready)
        return process, url

    yield begin
    for process in running:
        process.kill()


def test_a_killed_process_leaves_a_readable_store_and_no_acknowledged_label_is_lost(
    start: Start, database: Database
) -> None:
    process, url = start()
    acknowledged: list[str] = []

    def send() -> None:
        with httpx.Client(base_url=f"{url}/v2/models/delay") as client:
            while True:
                try:
                    made = client.post("/infer", json=request_body()).headers["penstock-prediction-id"]
                    done = client.post("/feedback", json=[{"prediction_id": made, "label": 1}])
                except httpx.TransportError:
                    return
                assert done.json()["accepted"] == 1
                acknowledged.append(made)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    written: list[int] = []

    def has_told_of(count: int) -> bool:
        found = re.search(
            r"^penstock_recorder_written_total (\d+)", httpx.get(f"{url}/metrics").text, re.MULTILINE
        )
        written.append(int(found[1]) if found else 0)
        return written[-1] >= count

    wait_until(lambda: has_told_of(20) and len(acknowledged) >= 60)
    os.kill(process.pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert {one.prediction_id for one in list_labels(connection, acknowledged)} == set(acknowledged)
        found = list_windows(connection, "delay")
    assert sum(one.quality.label_count for one in found) >= len(acknowledged)
    assert sum(one.request_count for one in found) >= written[-1], "what it told to be written is there"
    assert written == sorted(written)
    _, url = start()
    assert httpx.post(f"{url}/v2/models/delay/infer", json=request_body()).status_code == 200


def test_a_serve_process_never_notices_that_the_store_is_away_and_nothing_is_lost(
    start: Start, database: Database, tmp_path: Path
) -> None:
    process, url = start()
    other = sqlite3.connect(tmp_path / "penstock.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ids: list[str] = []
    away_s = time.monotonic()
    with httpx.Client(base_url=f"{url}/v2/models/delay", timeout=PATIENCE_S) as client:
        while len(ids) < 100 or time.monotonic() < away_s + 10 * FLUSH_S:
            ids.append(client.post("/infer", json=request_body()).raise_for_status().json()["id"])
    assert not list_of_windows(database), "it could write nothing"
    other.execute("ROLLBACK")
    other.close()
    wait_until(lambda: sum(one.request_count for one in list_of_windows(database)) == len(ids))
    with database.read() as connection:
        assert {one.id for one in list_predictions(connection, ids)} == set(ids)
    assert process.poll() is None


def list_of_windows(database: Database) -> list[Window]:
    with database.read() as connection:
        return list_windows(connection, "delay")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_process_finishes_requests_and_writes_what_it_saw(
    start: Start, database: Database, number: signal.Signals
) -> None:
    """What is kept is what was answered, by id; and of an answer that was cut on its way, its request.

    A client whose connection breaks cannot tell whether its request was answered, and the store may have it all the same.
    One that is refused a connection asked nothing.
    """
    process, url = start()
    ids: list[str] = []
    broken: list[int] = []
    cut: list[httpx.TransportError] = []

    def send() -> None:
        with httpx.Client(base_url=f"{url}/v2/models/delay") as client:
            while True:
                try:
                    response = client.post("/infer", json=request_body())
                except httpx.ConnectError:
                    return
                except httpx.TransportError as error:
                    cut.append(error)
                    return
                if response.status_code == 200:
                    ids.append(response.headers["penstock-prediction-id"])
                else:
                    broken.append(response.status_code)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(ids) >= 100)
    os.kill(process.pid, number)
    assert process.wait(PATIENCE_S) == 0
    for thread in threads:
        thread.join()
    assert broken == []
    with database.read() as connection:
        kept = set(connection.execute(sa.select(predictions.c.id)).scalars())
        counted = sum(one.request_count for one in list_windows(connection, "delay"))
    assert len(ids) == len(set(ids)) and set(ids) <= kept
    assert len(kept - set(ids)) <= len(cut), (kept - set(ids), cut)
    assert counted == len(kept)
