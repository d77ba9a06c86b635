"""Every page and every form with `--auth`: who may open it, who may send it, and that no other site can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Mount
from starlette.testclient import TestClient

from flows.production.endpoints import World
from penstock.access.grants import Grant, set_grant
from penstock.access.roles import Role
from penstock.access.users import add_user
from penstock.base.store.events import list_events
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.http.auth import COOKIE
from penstock.http.pages.routes import Page
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.serving.deployments import get_revision
from projects import Sample

PASSWORD = "three blind mice run"
HTML = {"accept": "text/html"}
FORM = {**HTML, "content-type": "application/x-www-form-urlencoded"}
PLACES = {"{name:path}": "delay", "{name}/{number}": "late/2", "{name}": "late", "{path:path}": "data/raw.csv", "{subject:path}": "late/1",
          "{commit}": "x", "{build}": "x"}  # fmt: skip


@pytest.fixture(scope="module")
def project(two_versions_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sample = Sample.copy(two_versions_root, tmp_path_factory.mktemp("roles") / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/1"))
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/2", canary=20.0))
    roles: dict[str, Role] = {"root": "admin", "reader": "reader", "nobody": "none"}
    with sample.project.database.write() as connection:
        for name, role in roles.items():
            add_user(connection, name, role, PASSWORD, "test")
    yield sample.project
    sample.close()


@pytest.fixture(scope="module")
def client(project: Project) -> TestClient:
    app = build_server_app(project, ControllerLoop(project), asks_for_credentials=True)
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)


def pages(client: TestClient) -> Iterator[tuple[str, Page]]:
    """Yield an address of every page with its route; ids stay as they are written. What pages look like is no secret."""
    mount = next(one for one in client.app.routes if isinstance(one, Mount) and not one.path)  # type: ignore[attr-defined]
    for route in mount.routes:
        if isinstance(route, Page) and not route.path.startswith("/static/"):
            address = route.path
            for written, real in PLACES.items():
                address = address.replace(written, real)
            yield address, route


def enter(client: TestClient, name: str) -> None:
    client.cookies.clear()
    form = {"name": name, "password": PASSWORD, "next": "/"}
    assert client.post("/sign-in", data=form, headers=HTML).status_code == 303


def forms(client: TestClient) -> list[str]:
    return [address for address, route in pages(client) if "POST" in (route.methods or ())]


def state_of(project: Project) -> tuple[int, int]:
    """Return what a form could have changed: the revision of the endpoint, and how many events there are."""
    with project.database.read() as connection:
        return get_revision(connection, "delay").number, len(list_events(connection, limit=1000))


def test_no_page_opens_without_a_session_and_none_to_whom_something_is_hidden(client: TestClient) -> None:
    client.cookies.clear()
    asked = 0
    for address, route in pages(client):
        if "GET" in (route.methods or ()):
            asked += 1
            assert client.get(address).status_code == 401, address
            assert client.get(address, headers=HTML).headers["location"].startswith("/sign-in?next="), address
    assert asked > 25
    enter(client, "nobody")
    for address, route in pages(client):
        if "GET" in (route.methods or ()):
            assert client.get(address, headers=HTML).status_code == 403, address


def test_every_form_is_refused_to_a_reader_to_nobody_and_to_pages_of_other_sites(
    client: TestClient, project: Project
) -> None:
    before = state_of(project)
    body = f"revision={before[0]}&to=&alias=champion&previous=1&reason=x&comment=x"
    assert len(forms(client)) == 4
    for address in forms(client):
        client.cookies.clear()
        assert client.post(address, content=body, headers=FORM).status_code == 401, address
        client.cookies.set(COOKIE, "A" * 43)
        assert client.post(address, content=body, headers=FORM).status_code == 401, address
        for name in ("reader", "nobody"):
            enter(client, name)
            assert client.post(address, content=body, headers=FORM).status_code == 403, (address, name)
        enter(client, "root")
        for foreign in (
            {"origin": "https://evil.example"},
            {"origin": "http://127.0.0.1:81"},
            {"origin": "null"},
            {"origin": ""},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "https://127.0.0.1.evil.example"},
        ):
            answer = client.post(address, content=body, headers={**FORM, **foreign})
            assert answer.status_code == 403, (address, foreign)
    assert state_of(project) == before


def test_a_form_that_is_odd_changes_nothing_and_fails_nothing(client: TestClient, project: Project) -> None:
    before = state_of(project)
    enter(client, "root")
    for address in forms(client):
        if address.endswith("/approve"):
            continue
        for body in ("revision=%00&previous=%00", "revision=-1&previous=x", "revision=" + "9" * 30, "previous=²", "a" * 20_000, "revision=1&revision=2&previous=7"):  # fmt: skip
            status = client.post(address, content=body.encode(), headers=FORM).status_code
            assert 400 <= status < 500, (address, body[:30], status)
    assert state_of(project) == before


def test_who_signs_in_again_ends_the_session_before(client: TestClient) -> None:
    enter(client, "reader")
    old = client.cookies[COOKIE]
    form = {"name": "root", "password": PASSWORD, "next": "/"}
    assert client.post("/sign-in", data=form, headers=HTML).status_code == 303
    assert client.cookies[COOKIE] != old
    client.cookies.clear()
    client.cookies.set(COOKIE, old)
    assert client.get("/runs").status_code == 401


def test_a_session_that_was_ended_elsewhere_is_over_here_too(client: TestClient) -> None:
    enter(client, "root")
    secret = client.cookies[COOKIE]
    assert client.post("/sign-out", headers={**HTML, "origin": "https://evil.example"}).status_code == 403
    assert client.get("/runs", headers=HTML).status_code == 200
    assert client.post("/sign-out", headers=HTML).status_code == 303
    client.cookies.clear()
    client.cookies.set(COOKIE, secret)
    assert client.get("/runs").status_code == 401


def test_who_is_admin_of_one_model_brings_no_other_back_on_its_endpoint(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    world.version(1)
    world.version(1, model="other")
    world.version(2)
    world.policy()
    world.deploy(1)
    world.deploy(1, model="other")
    world.deploy(2)
    with world.project.database.write() as connection:
        for name, models in (("root", ()), ("eve", ("m",)), ("ida", ("m", "other"))):
            add_user(connection, name, "admin" if name == "root" else "reader", PASSWORD, "test")
            for model in models:
                set_grant(connection, Grant(user=name, kind="model", resource=model, role="admin"), "test")
    app = build_server_app(world.project, ControllerLoop(world.project), asks_for_credentials=True)
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    needed = "it needs the role admin on model other"
    enter(client, "eve")
    page = client.get("/endpoints/delay", headers=HTML).text
    assert "rollback?to=1" in page
    assert "rollback?to=2" not in page
    assert '/endpoints/delay/rollback"' not in page, "it would bring the other model back"
    assert "needs the role admin on model" in page
    for to in ("2", ""):
        form = {"revision": "3", "to": to, "reason": "x"}
        for answer in (
            client.get("/endpoints/delay/rollback", params={"to": to}, headers=HTML),
            client.post(
                "/endpoints/delay/rollback", data=form, headers={**FORM, "origin": "http://127.0.0.1"}
            ),
        ):
            assert (answer.status_code, needed in answer.text) == (403, True), to
    with world.project.database.read() as connection:
        assert get_revision(connection, "delay").number == 3
    assert client.get("/endpoints/delay/rollback?to=1", headers=HTML).status_code == 200
    enter(client, "ida")
    page = client.get("/endpoints/delay", headers=HTML).text
    assert "rollback?to=2" in page
    assert '/endpoints/delay/rollback"' in page
    form = {"revision": "3", "to": "2", "reason": "x"}
    done = client.post("/endpoints/delay/rollback", data=form, headers={**FORM, "origin": "http://127.0.0.1"})
    assert done.status_code == 303
    with world.project.database.read() as connection:
        assert get_revision(connection, "delay").model == "other"
    world.project.close()
