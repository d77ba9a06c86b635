"""Promoting by clicking: a version that becomes champion, a canary that gets all traffic; refusals in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from penstock.access.users import add_user
from penstock.base.store.events import list_events
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.registry.aliases import find_alias
from penstock.serving.deployments import get_revision
from projects import Sample

FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
PASSWORD = "three blind mice run"


@pytest.fixture
def project(two_versions_root: Path, tmp_path: Path) -> Iterator[Project]:
    """`late/1` is stable on `delay` and champion, `late/2` is the canary."""
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/1"))
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/2", canary=20.0))
    yield sample.project
    sample.close()


def client_of(project: Project, *, asks: bool = False) -> TestClient:
    app = build_server_app(project, ControllerLoop(project), asks_for_credentials=asks)
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text))


def champion_of(project: Project) -> int | None:
    with project.database.read() as connection:
        found = find_alias(connection, "late", "champion")
    return found.version if found else None


def test_a_version_becomes_champion_by_a_preview_and_one_click(project: Project) -> None:
    client = client_of(project)
    assert "/models/late/2/promote" in client.get("/models/late/2").text
    before = champion_of(project)
    preview = client.get("/models/late/2/promote")
    words = words_of(preview.text)
    for told in (
        "Make late/2 champion?",
        f"moves from late/{before} to late/2",
        "delay serves what it does now, late/1",
        "passed",
        "penstock promote late/2",
    ):
        assert told in words, told
    assert champion_of(project) == before  # a preview changes nothing
    form = f"alias=champion&previous={before}&reason=it+is+better"
    done = client.post("/models/late/2/promote", content=form, headers=FORM)
    assert (done.status_code, done.headers["location"]) == (303, "/models/late/2")
    assert champion_of(project) == 2
    with project.database.read() as connection:
        told = list_events(connection)[-1]
    assert (told.kind, told.actor, told.cause["reason"]) == ("model.promoted", "page", "it is better")
    again = client.post("/models/late/1/promote", content=form, headers=FORM)
    assert again.status_code == 409
    assert "nothing was changed" in again.text
    assert "already" in client.get("/models/late/2/promote").text
    other = words_of(client.get("/models/late/1/promote?alias=challenger").text)
    assert "late@challenger begins to point at late/1" in other
    assert "challenger is not protected" in other or "passed" in other


def test_a_canary_gets_all_traffic_by_a_preview_and_one_click(project: Project) -> None:
    client = client_of(project)
    with project.database.read() as connection:
        number = get_revision(connection, "delay").number
    preview = words_of(client.get("/endpoints/delay/promote").text)
    for told in (
        "Give late/2 all traffic of delay?",
        "delay serves late/2",
        "late/1 gets no traffic any more",
    ):
        assert told in preview, told
    form = f"revision={number}&reason=seen+enough"
    done = client.post("/endpoints/delay/promote", content=form, headers=FORM)
    assert (done.status_code, done.headers["location"]) == (303, "/endpoints/delay")
    with project.database.read() as connection:
        revision = get_revision(connection, "delay")
    assert (revision.stable, revision.canary, revision.kind) == (2, None, "promoted")
    assert (revision.actor, revision.reason) == ("page", "seen enough")
    assert client.post("/endpoints/delay/promote", content=form, headers=FORM).status_code == 409
    refused = client.get("/endpoints/delay/promote")
    assert refused.status_code == 403
    assert "has no canary" in refused.text
    assert "penstock deploy delay --model late/N --canary 5" in refused.text


def test_what_may_not_go_out_is_refused_in_words_with_the_next_command(project: Project) -> None:
    client = client_of(project)
    apply_deployment(project, plan_rollback(project, "delay", reason="its AUC is 0.52"))
    for address in ("/models/late/2/promote",):
        refused = client.get(address)
        assert refused.status_code == 403
        assert "its AUC is 0.52" in refused.text
        assert "penstock promote late/2 --force --reason TEXT" in refused.text
        before = champion_of(project)
        form = f"alias=champion&previous={before}"
        assert client.post(address, content=form, headers=FORM).status_code == 403
        assert champion_of(project) == before
    assert "/models/late/2/promote" not in client.get("/models/late/2").text
    for address in ("/models/late/9/promote", "/models/none/1/promote", "/endpoints/none/promote"):
        assert client.get(address).status_code == 404
    assert client.get("/models/late/2/promote?alias=v3").status_code == 400


def test_only_who_may_is_offered_a_decision_and_only_from_our_own_pages(project: Project) -> None:
    with project.database.write() as connection:
        add_user(connection, "reader", "reader", PASSWORD, "test")
        add_user(connection, "writer", "writer", PASSWORD, "test")
    client = client_of(project, asks=True)
    before = champion_of(project)
    form = f"alias=champion&previous={before}&reason="

    def sign_in(name: str) -> None:
        client.post("/sign-in", data={"name": name, "password": PASSWORD, "next": "/"}, headers=FORM)

    sign_in("reader")
    assert "/models/late/2/promote" not in client.get("/models/late/2").text
    endpoint = client.get("/endpoints/delay").text
    assert "need the role admin" in endpoint
    assert "/endpoints/delay/rollback" not in endpoint
    for address in ("/models/late/2/promote", "/endpoints/delay/promote"):
        refused = client.get(address)
        assert refused.status_code == 403
        assert "penstock user grant reader" in refused.text
        assert client.post(address, content=f"{form}&revision=2", headers=FORM).status_code == 403
    sign_in("writer")
    foreign = {**FORM, "origin": "https://evil.example"}
    assert client.post("/models/late/2/promote", content=form, headers=foreign).status_code == 403
    assert champion_of(project) == before
    assert client.post("/models/late/2/promote", content=form, headers=FORM).status_code == 303
    with project.database.read() as connection:
        assert list_events(connection)[-1].actor == "person:writer"
