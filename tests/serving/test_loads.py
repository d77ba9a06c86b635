"""`Loads`: endpoints that are loaded on demand hold up neither each other nor the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import httpx
import pytest

from patience import PATIENCE_S
from penstock.base.errors import Invalid, PenstockError, Unavailable
from penstock.base.store.database import Database
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.settings import EndpointSettings, TrafficSettings
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.beside.loads import Loads
from penstock.serving.repository import ModelRepository
from serving.models import FolderSource, deploy
from stories.live import wait_until


class House:
    """Loads `stuck` when it is let go, fails at `bad`, leaves at `exits`, and takes the rest."""

    def __init__(self, source: FolderSource) -> None:
        self.repository = ModelRepository(source.fetch)
        self.loads = Loads(self.load, self.repository)
        self.go = threading.Event()
        self.begun: list[str] = []
        self.threads: list[threading.Thread] = []

    def load(self, endpoint: str) -> None:
        self.begun.append(endpoint)
        self.threads.append(threading.current_thread())
        if endpoint == "stuck":
            assert self.go.wait(PATIENCE_S)
        if endpoint == "bad":
            raise Invalid("it does not load", code="serving.model_does_not_load", version=3)
        if endpoint == "exits":
            raise SystemExit(3)

    def ask(self, *endpoints: str, wait_s: float = PATIENCE_S) -> list[BaseException | None]:
        """Ask for all at once; return what becomes of each."""

        async def work() -> list[BaseException | None]:
            asked = [self.loads.reach(one, wait_s) for one in endpoints]
            return await asyncio.gather(*asked, return_exceptions=True)

        return asyncio.run(work())


@pytest.fixture
def house(source: FolderSource) -> Iterator[House]:
    made = House(source)
    yield made
    made.go.set()


def test_who_asks_for_an_endpoint_that_is_being_loaded_waits_for_that_and_no_longer_than_its_limit(
    house: House, database: Database
) -> None:
    told = house.ask("stuck", "stuck", "stuck", wait_s=0.01)
    assert {(type(one), one.code) for one in told if isinstance(one, PenstockError)} == {
        (Unavailable, "serving.not_ready")
    }
    assert house.ask("good", "other") == [None, None], "others go on"
    assert house.begun.count("stuck") == 1
    house.repository.expect(frozenset({"stuck"}), {"stuck": deploy(database, "stuck", 1)})
    house.ask("stuck", wait_s=0.01)
    assert house.begun.count("stuck") == 2, "another revision does not wait for the one before it"
    house.go.set()
    assert house.ask("stuck") == [None]
    wait_until(lambda: not house.loads._coming)
    assert all(one.daemon for one in house.threads), "no exit waits for them"


def test_each_caller_is_told_why_it_does_not_load_by_an_error_of_its_own(house: House) -> None:
    first, second = house.ask("bad", "bad")
    assert isinstance(first, Invalid) and isinstance(second, Invalid)
    assert first is not second
    assert (first.code, first.fields) == ("serving.model_does_not_load", {"version": 3})
    (left,) = house.ask("exits")
    assert isinstance(left, PenstockError)
    assert left.code == "serving.load_failed"
    assert house.ask("good") == [None]


class StuckSource(FolderSource):
    """Gives version 2 to nobody before it is let go."""

    def __init__(self, source: FolderSource) -> None:
        super().__init__(*source.files.values())
        self.go = threading.Event()

    def admit(self, model: str, version: int, new: tuple[str, int] | None) -> str:
        if version == 2:
            assert self.go.wait(PATIENCE_S)
        return ""


def test_a_load_that_hangs_is_answered_after_the_endpoints_limit_and_keeps_no_process_from_its_end(
    database: Database, source: FolderSource
) -> None:
    stuck = StuckSource(source)
    deploy(database, "good", 1)
    process = ServeProcess(database, stuck, build_inference_app, ServeOptions(port=0, poll_s=0.02))
    process.start()
    try:
        deploy(database, "bad", 2)
        settings = EndpointSettings(model="flight-delay", traffic=TrafficSettings(timeout_s=0.05))
        with database.write() as connection:
            put_policy(connection, "bad", PolicyBody(endpoint=settings), "person:test")
        wait_until(lambda: process.dataplane.engine.limits_of("bad").timeout_s == 0.05)
        with httpx.Client(base_url=f"{process.url}/v2/repository/models", timeout=PATIENCE_S) as client:
            for _ in range(5):
                reply = client.post("/bad/load")
                assert (reply.status_code, reply.json()["code"]) == (503, "serving.not_ready")
                assert reply.headers["retry-after"]
            assert client.post("/good/load").status_code == 200
        left = [one for one in threading.enumerate() if one.name.startswith("penstock-load")]
        assert left
        assert all(one.daemon for one in left)
    finally:
        process.stop()
        stuck.go.set()
