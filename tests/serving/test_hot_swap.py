from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import msgspec
import pytest

from penstock.base.errors import Conflict
from penstock.base.store.database import Database
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.windows import list_windows
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.records.signature import Column
from penstock.serving.workers import WorkerRevision, list_workers
from serving.models import FolderSource, deploy, request_body, save_model
from stories.live import wait_until

pytestmark = pytest.mark.slow


def wait_for(database: Database, endpoint: str, revision: int) -> WorkerRevision:
    found: list[WorkerRevision] = []

    def is_reported() -> bool:
        with database.read() as connection:
            (worker,) = list_workers(connection, 0)
        state = worker.state_of(endpoint, revision)
        found.extend([] if state is None or state.state == "waiting" else [state])
        return bool(found)

    wait_until(is_reported)
    return found[0]


def wait_for_requests(database: Database, revision: int, count: int) -> Counter[tuple[str, int]]:
    """Requests written down by (route, version), over every window: traffic may fall into two minutes."""
    deadline_s = time.monotonic() + 60
    while True:
        seen: Counter[tuple[str, int]] = Counter()
        with database.read() as connection:
            for one in list_windows(connection, "delay", revisions=[revision]):
                seen[one.key.route, one.key.version] += one.request_count
        if seen.total() >= count or time.monotonic() > deadline_s:
            return seen
        time.sleep(0.05)


class Load:
    """Clients that send requests until they are told to stop."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self.url = f"{url}/v2/models/delay/infer"
        self.statuses: list[int] = []
        self.versions: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        with httpx.Client() as client:
            while not self._stop.is_set():
                response = client.post(self.url, json=request_body())
                self.statuses.append(response.status_code)
                self.versions.append(response.headers.get("penstock-model-version", ""))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_no_request_is_lost_while_models_are_swapped_under_load(
    server: ServeProcess, database: Database, source: FolderSource
) -> None:
    with Load(server.url) as load:
        for round_number in range(6):
            stable = 2 if round_number % 2 == 0 else 1
            revision = deploy(database, "delay", stable, canary=(3 - stable, 20.0))
            assert wait_for(database, "delay", revision.number).state == "ready"
            asked = len(load.statuses)
            while len(load.statuses) < asked + 250:
                time.sleep(0.01)
    assert len(load.statuses) >= 1500
    assert set(load.statuses) == {200}
    assert set(load.versions) == {"1", "2"}


def test_a_model_that_does_not_load_keeps_the_old_revision_and_says_why(
    server: ServeProcess, database: Database, source: FolderSource, tmp_path: Path
) -> None:
    broken = save_model(tmp_path / "models", 3)
    (broken.path / "model.skops").write_bytes(b"not a model")
    source.add(broken)
    revision = deploy(database, "delay", 3)
    state = wait_for(database, "delay", revision.number)
    assert state.state == "failed"
    assert "does not load" in state.message
    response = httpx.post(f"{server.url}/v2/models/delay/infer", json=request_body())
    assert response.headers["penstock-revision"] == "1"


def test_a_model_that_fails_on_its_own_example_takes_no_traffic(
    server: ServeProcess, database: Database, source: FolderSource, tmp_path: Path
) -> None:
    files = save_model(tmp_path / "models", 3)
    narrow = msgspec.structs.replace(
        files, signature=msgspec.structs.replace(files.signature, inputs=files.signature.inputs[:1])
    )
    source.add(msgspec.structs.replace(narrow, digest="narrow"))
    state = wait_for(database, "delay", deploy(database, "delay", 3).number)
    assert (state.state, "self-test" in state.message) == ("failed", True)


def test_a_first_revision_that_does_not_load_makes_the_endpoint_unready(
    server: ServeProcess, database: Database
) -> None:
    wait_for(database, "other", deploy(database, "other", 77).number)
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 503
    assert httpx.get(f"{server.url}/v2/models/other/ready").status_code == 503
    assert httpx.post(f"{server.url}/v2/models/other/infer", json=request_body()).status_code == 503
    assert httpx.get(f"{server.url}/v2/models/delay/ready").status_code == 200


def test_a_canary_with_another_optional_input_serves_the_same_requests(
    server: ServeProcess, database: Database, source: FolderSource
) -> None:
    files = source.fetch("flight-delay", 2)
    less = msgspec.structs.replace(files.signature, inputs=files.signature.inputs[:3])
    source.add(msgspec.structs.replace(files, version=4, digest="less", signature=less))
    wait_for(database, "delay", deploy(database, "delay", 1, canary=(4, 50.0)).number)
    body = request_body(wind={"datatype": "FP64", "data": [3.0]})
    routes = set()
    for _ in range(20):
        response = httpx.post(f"{server.url}/v2/models/delay/infer", json=body)
        routes.add((response.headers["penstock-route"], response.status_code))
    assert routes == {("stable", 200), ("canary", 200)}


def test_a_canary_that_requires_an_input_clients_do_not_send_is_not_taken_over(
    server: ServeProcess, database: Database, source: FolderSource
) -> None:
    files = source.fetch("flight-delay", 2)
    more = msgspec.structs.replace(
        files.signature, inputs=(*files.signature.inputs, Column("dep_delay", "FP64"))
    )
    source.add(msgspec.structs.replace(files, version=4, digest="more", signature=more))
    state = wait_for(database, "delay", deploy(database, "delay", 1, canary=(4, 50.0)).number)
    assert (state.state, "dep_delay" in state.message) == ("failed", True)


def test_shadows_see_the_traffic_and_no_client_sees_them(server: ServeProcess, database: Database) -> None:
    wait_for(database, "delay", deploy(database, "delay", 1, shadows=(2,)).number)
    for _ in range(10):
        response = httpx.post(f"{server.url}/v2/models/delay/infer", json=request_body())
        assert response.headers["penstock-model-version"] == "1"
    assert wait_for_requests(database, revision=2, count=20) == {("stable", 1): 10, ("shadow", 2): 10}


def test_a_port_in_use_is_told_before_anything_starts(server: ServeProcess, database: Database) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(Conflict, match="in use") as caught:
        ServeProcess(database, FolderSource(), build_inference_app, ServeOptions(port=port))
    assert caught.value.code == "serving.port_in_use"
    with database.read() as connection:
        assert len(list_workers(connection, 0)) == 1


def test_an_ended_process_is_no_longer_among_the_workers(database: Database, source: FolderSource) -> None:
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0))
    process.start()
    process.stop()
    with database.read() as connection:
        assert list_workers(connection, 0) == []
