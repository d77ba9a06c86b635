"""Versions that are asked for by number and take no part in the revision."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

from patience import PATIENCE_S
from penstock.base.errors import Invalid, NotFound, PenstockError, Refused, Unavailable
from penstock.base.store.database import Database
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.settings import EndpointSettings, TrafficSettings
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.beside.guests import CHECKED_S, REFUSED_S, Guests
from penstock.serving.deployments import Revision
from penstock.serving.repository import ServedRevision
from serving.models import FolderSource, deploy, request_body
from stories.live import wait_until


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class House:
    """Guests with a record of what was asked; `problems` are raised by version."""

    def __init__(self, room: int) -> None:
        self.clock = Clock()
        self.problems: dict[int, PenstockError] = {}
        self.asked: list[int] = []
        self.loaded: list[int] = []
        self.guests = Guests(self.load, self.allow, self.clock)
        self.guests.room = {"delay": room}
        revision = Revision(
            endpoint="delay", endpoint_id=1, number=1, model="late", stable=1, canary=None, shadows=(), steps=(),
            created_ms=0, actor="", reason="", previous=None, cause={},
        )  # fmt: skip
        self.served = ServedRevision(revision, {})

    def allow(self, _model: str, version: int) -> None:
        self.asked.append(version)
        if version in self.problems:
            raise self.problems[version]

    def load(self, _model: str, version: int) -> Any:
        self.loaded.append(version)
        return f"model {version}"

    def reach(self, version: int) -> Any:
        asyncio.run(self.guests.reach(self.served, version, 60))
        return self.guests.find(self.served, version)


def test_the_one_asked_for_least_recently_leaves_when_there_is_no_room() -> None:
    house = House(room=2)
    for version in (3, 4, 3, 5):
        assert house.reach(version) == f"model {version}"
    assert house.guests.versions(house.served) == [3, 5]
    assert house.loaded == [3, 4, 5]
    house.guests.room = {"delay": 1}
    house.guests.keep({"delay": house.served})
    assert house.guests.versions(house.served) == [5]
    house.guests.keep({})
    assert house.guests.versions(house.served) == []
    house.guests.room = {}
    assert house.reach(3) is None


def test_whether_a_version_may_be_asked_for_is_asked_again_and_a_store_that_is_away_ends_nothing() -> None:
    house = House(room=2)
    house.reach(3)
    house.reach(3)
    assert house.asked == [3]
    house.clock.now_s += CHECKED_S + 1
    house.problems[3] = Unavailable("the store is away", code="store.away")
    assert house.reach(3) == "model 3"
    house.clock.now_s += CHECKED_S + 1
    house.problems[3] = Refused("its gate refused it", code="gate.no_passing_verdict")
    for _ in range(2):
        with pytest.raises(Refused, match="its gate refused it"):
            house.reach(3)
    assert house.asked == [3] * 3, "a refusal is remembered for a while"
    assert house.guests.find(house.served, 3) is None
    del house.problems[3]
    house.clock.now_s += REFUSED_S + 1
    assert house.reach(3) == "model 3"


def test_what_cannot_be_had_is_told_by_its_cause_to_each_caller() -> None:
    house = House(room=2)
    for version, error in (
        (7, NotFound("no version 7", code="registry.version_unknown")),
        (8, Invalid("x", code="y")),
    ):
        house.problems[version] = error
        told = []
        for _ in range(2):
            with pytest.raises(type(error)) as found:
                house.reach(version)
            told.append(found.value)
        assert told[0] is not told[1] and told[0].code == error.code


class Judging(FolderSource):
    """Refuses what it is told to."""

    refused: frozenset[int] = frozenset()

    def allow(self, model: str, version: int) -> None:
        super().allow(model, version)
        if version in self.refused:
            raise Refused(f"{model}/{version} cannot be asked for", code="gate.no_passing_verdict")


@pytest.mark.slow
def test_a_policy_lets_registered_versions_be_asked_for_by_number(
    database: Database, source: FolderSource
) -> None:
    judging = Judging(*source.files.values())
    deploy(database, "delay", 1)
    process = ServeProcess(
        database, judging, build_inference_app, ServeOptions(port=0, poll_s=0.02, flush_s=0.1)
    )
    process.start()
    try:
        with httpx.Client(base_url=f"{process.url}/v2/models/delay", timeout=PATIENCE_S) as client:

            def ask(version: int) -> httpx.Response:
                return client.post(f"/versions/{version}/infer", json=request_body())

            closed = ask(2)
            assert (closed.status_code, closed.json()["code"]) == (404, "serving.version_unknown")
            assert "traffic.other_versions" in closed.json()["hint"]
            traffic = TrafficSettings(other_versions=1)
            with database.write() as connection:
                body = PolicyBody(endpoint=EndpointSettings(model="flight-delay", traffic=traffic))
                put_policy(connection, "delay", body, "person:test")
            wait_until(lambda: process.dataplane.guests.room == {"delay": 1})
            assert client.get("/versions/2/ready").status_code == 200
            answer = ask(2)
            assert (answer.status_code, answer.json()["model_version"]) == (200, "2")
            assert answer.headers["penstock-route"] == "direct"
            assert answer.json()["outputs"] != ask(1).json()["outputs"]
            assert client.get("/versions/2").json()["versions"] == ["1", "2"]
            assert client.get("/versions/2/config").status_code == 200
            [_, second] = client.get("/stats").json()["model_stats"]
            assert (second["version"], second["inference_count"]) == ("2", 1)
            assert (ask(9).status_code, ask(9).json()["code"]) == (404, "registry.version_unknown")
            judging.refused = frozenset({2})
            process.dataplane.guests.keep({})
            assert (ask(2).status_code, ask(2).json()["code"]) == (403, "gate.no_passing_verdict")
            assert client.post("/infer", json=request_body()).json()["model_version"] == "1"
    finally:
        process.stop()


def test_versions_that_hang_while_they_load_hold_up_nobody_and_a_further_one_is_told_to_come_back() -> None:
    house = House(room=3)
    go = threading.Event()
    guests = Guests(lambda _model, version: go.wait(PATIENCE_S) and house.load("late", version), house.allow)
    guests.room = {"delay": 3}

    async def story() -> None:
        for version, wait_s in ((3, 0.01), (4, 0.01), (5, 60.0)):
            with pytest.raises(Unavailable, match="not loaded yet") as told:
                await guests.reach(house.served, version, wait_s)
            assert (told.value.code, told.value.fields["retry_after_s"]) == ("serving.version_loading", 1)
        go.set()
        await guests.reach(house.served, 3, 60)

    asyncio.run(story())
    assert guests.find(house.served, 3) == "model 3"
