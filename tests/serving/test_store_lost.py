"""A store that became empty, another or an older one takes nothing away from callers; the true one is followed again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.base.store.database import Database, connect, metadata
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.deployments import get_revision, revisions
from penstock.serving.workers import Worker, list_workers
from servers.postgres import PostgresServer
from serving.models import FolderSource, deploy, request_body
from stories.live import wait_until

Changes = tuple[Callable[[], None], Callable[[], None]]


def move_away(store: Path, to: Path) -> None:
    """Move a store and its log away, the store first: who opens it meanwhile would begin another log by the name."""
    to.mkdir()
    store.rename(to / store.name)
    for file in store.parent.glob(f"{store.name}-*"):
        file.rename(to / file.name)


def put_back(store: Path, source: Path) -> None:
    for file in store.parent.glob(f"{store.name}*"):
        file.unlink()
    for file in source.iterdir():
        file.rename(store.parent / file.name)
    source.rmdir()


def make_empty(url: str) -> None:
    other = connect(url)
    metadata.create_all(other.engine)
    other.close()


class Served:
    """A serve process and what callers and the store get of it."""

    def __init__(self, store: Database, source: FolderSource) -> None:
        self.store = store
        options = ServeOptions(port=0, poll_s=0.02, beat_s=0.02, flush_s=0.05)
        self.process = ServeProcess(store, source, build_inference_app, options)
        self.process.start()
        self.client = httpx.Client(base_url=self.process.url, timeout=PATIENCE_S)

    def version(self) -> str:
        answer = self.client.post("/v2/models/delay/infer", json=request_body()).raise_for_status()
        return str(answer.json()["model_version"])

    def unknown(self) -> str:
        answer = self.client.get("/v2/health/ready").raise_for_status()
        return str(answer.json().get("unknown_to_store", {}).get("delay", ""))

    def gauge(self) -> str:
        lines = self.client.get("/metrics").text.splitlines()
        return next(one for one in lines if one.startswith("penstock_unknown_to_store{")).split()[-1]

    def worker(self) -> Worker | None:
        with self.store.read() as connection:
            return next((one for one in list_workers(connection, 0) if one.id == self.process.worker), None)

    def said(self, revision: int) -> tuple[str, str]:
        worker = self.worker()
        said = None if worker is None else worker.state_of("delay", revision)
        return ("", "") if said is None else (said.state, said.message)

    def close(self) -> None:
        self.client.close()
        self.process.stop()


@pytest.fixture
def served(database: Database, source: FolderSource) -> Iterator[Served]:
    deploy(database, "delay", 1)
    deploy(database, "delay", 2)
    found = Served(database, source)
    yield found
    found.close()


def show_it_is_served_further(served: Served, log: pytest.LogCaptureFixture, change: Changes) -> None:
    """Empty the store and put it back, and show that callers never notice, who asks is told, and it goes on after that."""
    empty, back = change
    log.set_level("INFO", "penstock")
    wait_until(lambda: served.said(2) == ("ready", ""))
    assert (served.version(), served.unknown(), served.gauge()) == ("2", "", "0.0")
    empty()
    wait_until(lambda: "the store does not know the endpoint: it is empty" in served.unknown())
    wait_until(lambda: served.worker() is not None)
    assert (served.version(), served.gauge()) == ("2", "1.0")
    assert log.text.count("delay#2 is served further, the store is not followed") == 1
    back()
    wait_until(lambda: not served.unknown())
    assert (served.version(), served.gauge()) == ("2", "0.0")
    assert served.said(2) == ("ready", "")
    deploy(served.store, "delay", 1)
    wait_until(lambda: served.version() == "1")
    wait_until(lambda: served.said(3) == ("ready", ""))


def test_a_store_that_is_moved_away_made_anew_and_put_back(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, away = tmp_path / "penstock.db", tmp_path / "away"

    def empty() -> None:
        move_away(store, away)
        assert served.version() == "2"
        make_empty(f"sqlite:///{store}")

    show_it_is_served_further(served, caplog, (empty, lambda: put_back(store, away)))


def test_a_postgresql_schema_that_is_dropped_made_anew_and_restored(
    source: FolderSource, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.new_schema()
    plain, _, name = url.replace("?options=-csearch_path%3D", " ").partition(" ")
    store = connect(url)
    metadata.create_all(store.engine)
    deploy(store, "delay", 1)
    deploy(store, "delay", 2)

    def run(*statements: str) -> None:
        with psycopg.connect(plain, autocommit=True) as connection:
            for one in statements:
                connection.execute(one)

    def empty() -> None:
        run(f"ALTER SCHEMA {name} RENAME TO {name}_away", f"CREATE SCHEMA {name}")
        assert served.version() == "2"
        make_empty(url)

    def back() -> None:
        run(f"DROP SCHEMA {name} CASCADE", f"ALTER SCHEMA {name}_away RENAME TO {name}")

    served = Served(store, source)
    try:
        show_it_is_served_further(served, caplog, (empty, back))
    finally:
        served.close()
        store.close()


def test_an_older_store_is_told_and_followed_when_somebody_deploys_on_it(
    database: Database, source: FolderSource, tmp_path: Path
) -> None:
    deploy(database, "delay", 1)
    database.close()
    store, copy = tmp_path / "penstock.db", tmp_path / "copy.db"
    shutil.copy(store, copy)
    deploy(database, "delay", 1)
    deploy(database, "delay", 2)
    served = Served(database, source)
    try:
        wait_until(lambda: served.said(3) == ("ready", ""))
        move_away(store, tmp_path / "away")
        copy.rename(store)
        wait_until(lambda: "the store has revision 1 and does not know revision 3" in served.unknown())
        wait_until(lambda: served.said(1)[0] == "waiting")
        assert "does not know revision 3" in served.said(1)[1]
        assert served.version() == "2"
        with database.write() as connection:  # as a store that another deployment was made in before
            connection.execute(revisions.update().values(created_ms=now_ms() - 60_000))
        deploy(database, "delay", 1)
        wait_until(lambda: served.version() == "1")
        wait_until(lambda: served.said(2) == ("ready", ""))
        assert not served.unknown()
    finally:
        served.close()


def test_another_store_with_a_higher_revision_of_the_same_name_is_not_followed(
    served: Served, tmp_path: Path
) -> None:
    other = connect(f"sqlite:///{tmp_path}/other.db")
    metadata.create_all(other.engine)
    for _ in range(3):
        deploy(other, "delay", 1)
    with other.write() as connection:
        connection.execute(revisions.update().values(created_ms=1))
    other.close()
    store = tmp_path / "penstock.db"
    assert served.version() == "2"
    move_away(store, tmp_path / "away")
    (tmp_path / "other.db").rename(store)
    wait_until(lambda: "the store has revision 3 and does not know revision 2" in served.unknown())
    assert served.version() == "2"
    put_back(store, tmp_path / "away")
    wait_until(lambda: not served.unknown())
    assert served.version() == "2"


def test_what_a_process_does_not_serve_it_does_not_call_ready(served: Served) -> None:
    wait_until(lambda: served.said(2) == ("ready", ""))
    served.client.post("/v2/repository/models/delay/unload").raise_for_status()
    wait_until(lambda: served.said(2) == ("waiting", "it is not loaded in this process"))
    served.client.post("/v2/repository/models/delay/load").raise_for_status()
    wait_until(lambda: served.said(2) == ("ready", ""))
    assert served.version() == "2"
    with served.store.read() as connection:
        assert get_revision(connection, "delay").number == 2


def test_an_endpoint_that_stopped_being_served_is_loaded_again(served: Served) -> None:
    """Whatever took it away: that it was loaded once must not keep it from being loaded."""
    repository: Any = served.process.dataplane.repository
    wait_until(lambda: served.said(2) == ("ready", ""))
    repository.expect(frozenset())
    wait_until(lambda: "delay" in repository.served)
    assert served.version() == "2"
