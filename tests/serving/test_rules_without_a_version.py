"""A rule on a version that cannot be had, loaded or asked: the revision is served, and it is told and tried again."""

from __future__ import annotations

import threading

import httpx
import pytest
from msgspec.structs import replace

from patience import PATIENCE_S
from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.settings import EndpointSettings, RuleSettings, TrafficSettings
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.processes.traffic import rules_of
from penstock.records.signature import Column
from penstock.serving.loaders import ModelFiles
from penstock.serving.repository import ModelRepository
from penstock.serving.workers import WorkerRevision, list_workers
from serving.models import SIGNATURE, FolderSource, deploy, request_body
from stories.live import wait_until


def traffic(*versions: int) -> TrafficSettings:
    return TrafficSettings(
        rules=tuple(RuleSettings(parameter="country", equals=f"{one}", version=one) for one in versions)
    )


def said(database: Database, revision: int) -> WorkerRevision | None:
    with database.read() as connection:
        (worker,) = list_workers(connection, 0)
    return worker.state_of("delay", revision)


def ask(server: ServeProcess, country: str = "9") -> tuple[int, str | None, str | None]:
    body = {**request_body(), "parameters": {"country": country}}
    response = httpx.post(f"{server.url}/v2/models/delay/infer", json=body, timeout=PATIENCE_S)
    names = ("penstock-revision", "penstock-model-version")
    return (response.status_code, *(response.headers.get(name) for name in names))


def test_what_rules_alone_name_keeps_no_revision_from_being_served(
    database: Database, source: FolderSource
) -> None:
    good = source.files["flight-delay", 2]
    more = replace(SIGNATURE, inputs=(*SIGNATURE.inputs, Column("snow", "FP64")))
    narrow = replace(SIGNATURE, inputs=SIGNATURE.inputs[:1])
    source.add(replace(good, version=4, digest="4", path=good.path / "nothing"))
    source.add(replace(good, version=5, digest="5", signature=narrow))
    source.add(replace(good, version=6, digest="6", signature=more, example=None))
    repository = ModelRepository(source.fetch)
    served = repository.apply(deploy(database, "delay", 1), rules_of(traffic(9, 4, 5, 6, 2)))
    assert repository.get("delay") is served
    assert sorted(served.models) == [1, 2]
    assert {number: error.code for number, error in served.lacking.items()} == {
        9: "registry.version_unknown",
        4: "serving.model_does_not_load",
        5: "serving.self_test_failed",
        6: "serving.signature_mismatch",
    }
    assert served.left_out.keys() == served.lacking.keys()
    assert "snow" in served.left_out[6]
    with pytest.raises(Invalid):
        repository.apply(deploy(database, "delay", 1, canary=(6, 10.0)), rules_of(traffic(6)))


def test_the_revision_before_stays_in_memory_while_what_is_lacking_is_tried_again(
    database: Database, source: FolderSource
) -> None:
    repository = ModelRepository(source.fetch)
    before = repository.apply(deploy(database, "delay", 2))
    revision = deploy(database, "delay", 1)
    for _ in range(2):
        repository.apply(revision, rules_of(traffic(9)))
    assert repository._before["delay"] is before


class HeldSource(FolderSource):
    """Gives version 2 to nobody before it is let go."""

    def __init__(self, source: FolderSource) -> None:
        super().__init__(*source.files.values())
        self.go = threading.Event()

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Return a version's files."""
        if version == 2:
            assert self.go.wait(PATIENCE_S)
        return super().fetch(model, version)


def test_a_version_of_a_rule_that_never_ends_to_load_keeps_no_later_revision_away(
    database: Database, source: FolderSource
) -> None:
    held = HeldSource(source)
    held.add(replace(source.files["flight-delay", 1], version=3, digest="three"))
    deploy(database, "delay", 1)
    process = ServeProcess(
        database, held, build_inference_app, ServeOptions(port=0, poll_s=0.02, flush_s=0.1)
    )
    process.start()
    try:
        put_rules(database, 2)
        deploy(database, "delay", 3)
        wait_until(lambda: ask(process, "2") == (200, "2", "3"))
        held.go.set()
        wait_until(lambda: ask(process, "2") == (200, "2", "2"))
    finally:
        held.go.set()
        process.stop()


def put_rules(database: Database, *versions: int) -> None:
    settings = EndpointSettings(model="flight-delay@champion", traffic=traffic(*versions))
    with database.write() as connection:
        put_policy(connection, "delay", PolicyBody(endpoint=settings), "person:test")


def test_a_rollback_is_served_and_told_whatever_a_rule_names(
    server: ServeProcess, database: Database, source: FolderSource
) -> None:
    deploy(database, "delay", 2)
    wait_until(lambda: ask(server) == (200, "2", "2"))
    put_rules(database, 9)
    deploy(database, "delay", 1, kind="rolled_back")
    wait_until(lambda: ask(server) == (200, "3", "1"))
    words = "version 9, which rules name, is not loaded, and their requests go by shares: there is no flight-delay version 9"
    wait_until(lambda: (state := said(database, 3)) is not None and state.message == words)
    assert (state := said(database, 3)) is not None
    assert state.state == "ready"
    server._beat()
    assert said(database, 3) == state
    named = httpx.post(f"{server.url}/v2/models/delay/versions/9/infer", json=request_body()).json()
    assert (named["code"], named["error"].endswith("it cannot be loaded")) == (
        "serving.version_left_out",
        True,
    )
    source.add(replace(source.files["flight-delay", 2], version=9, digest="nine"))
    server._attempts.forget("delay")  # as after its wait
    wait_until(lambda: ask(server) == (200, "3", "9"))
    wait_until(lambda: (state := said(database, 3)) is not None and not state.message)
