"""Signing in at a page: who is nobody is led there, a session is a cookie that ends, and it does what its user may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from penstock.access import sessions as sessions_module
from penstock.access.roles import Role
from penstock.access.tokens import create_token, revoke_token
from penstock.access.users import add_user, modify_user, remove_user
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.http.auth import COOKIE
from penstock.http.pages.sign_in import safe_place
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.registry.models import ensure_model
from penstock.serving.deployments import get_revision
from projects import Sample
from tables import table

PASSWORD = "three blind mice run"
FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
HTML = {"accept": "text/html"}


@pytest.fixture
def project(two_versions_root: Path, tmp_path: Path) -> Iterator[Project]:
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/1"))
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/2", canary=20.0))
    roles: dict[str, Role] = {"root": "admin", "reader": "reader"}
    with sample.project.database.write() as connection:
        for name, role in roles.items():
            add_user(connection, name, role, PASSWORD, "test")
    yield sample.project
    sample.close()


def client_of(project: Project, prefix: str = "") -> TestClient:
    app = build_server_app(project, ControllerLoop(project), asks_for_credentials=True, prefix=prefix)
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)


def sign_in(client: TestClient, name: str, password: str = PASSWORD, place: str = "/runs") -> int:
    form = {"name": name, "password": password, "next": place}
    return int(client.post("/sign-in", data=form, headers=HTML).status_code)


def test_a_browser_is_led_to_sign_in_and_back_and_a_program_is_told(project: Project) -> None:
    client = client_of(project)
    led = client.get("/runs?order=start_time+DESC", headers=HTML)
    assert (led.status_code, led.headers["location"]) == (
        303,
        "/sign-in?next=%2Fruns%3Forder%3Dstart_time%2BDESC",
    )
    assert client.get("/runs").status_code == 401
    assert client.post("/endpoints/delay/rollback", content="revision=3", headers=FORM).status_code == 401
    page = client.get(led.headers["location"], headers=HTML)
    assert 'value="/runs?order=start_time+DESC"' in page.text
    assert client.get("/static/penstock.css").status_code == 200

    wrong = client.post("/sign-in", data={"name": "root", "password": "wrong", "next": "/"}, headers=HTML)
    assert wrong.status_code == 401
    assert "is wrong" in wrong.text
    assert COOKIE not in wrong.cookies
    done = client.post("/sign-in", data={"name": "root", "password": PASSWORD, "next": "/runs"}, headers=HTML)
    assert (done.status_code, done.headers["location"]) == (303, "/runs")
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    text = client.get("/runs", headers=HTML).text
    assert "root <span" in text
    assert "Sign out" in text
    assert client.post("/sign-out", headers=HTML).status_code == 303
    assert client.get("/runs", headers=HTML).status_code == 303


def test_a_session_may_what_its_user_may_and_the_audit_names_the_person(project: Project) -> None:
    client = client_of(project)
    with project.database.read() as connection:
        number = get_revision(connection, "delay").number
    form = f"revision={number}&to=&reason=x"
    assert sign_in(client, "reader") == 303
    assert client.get("/endpoints/delay", headers=HTML).status_code == 200
    assert client.get("/endpoints/delay/rollback", headers=HTML).status_code == 403
    assert client.post("/endpoints/delay/rollback", content=form, headers=FORM).status_code == 403
    assert sign_in(client, "root") == 303
    foreign = {**FORM, "origin": "https://evil.example"}
    assert client.post("/endpoints/delay/rollback", content=form, headers=foreign).status_code == 403
    assert client.post("/endpoints/delay/rollback", content=form, headers=FORM).status_code == 303
    with project.database.read() as connection:
        assert get_revision(connection, "delay").actor == "person:root"


def test_a_session_ends_with_time_with_the_password_and_with_the_user(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(project)

    def is_in() -> bool:
        return bool(client.get("/runs", headers=HTML).status_code == 200)

    now = [1000.0]
    monkeypatch.setattr(sessions_module.time, "monotonic", lambda: now[0])
    sign_in(client, "root")
    for _ in range(13):
        assert is_in()
        now[0] += 3500
    assert not is_in()  # used all the time, and over after twelve hours
    sign_in(client, "root")
    now[0] += 3700
    assert not is_in()  # idle
    sign_in(client, "reader")
    with project.database.write() as connection:
        modify_user(connection, "reader", "test", password="another password here")
    assert not is_in()
    sign_in(client, "reader", "another password here")
    assert is_in()
    with project.database.write() as connection:
        remove_user(connection, "reader", "test")
    assert not is_in()
    with project.database.write() as connection:
        token, secret = create_token(connection, "root", "test")
        narrow = create_token(connection, "root", "test", scopes=["infer"])[1]
    assert sign_in(client, "root", narrow) == 401
    assert sign_in(client, "root", secret) == 303
    assert is_in()
    with project.database.write() as connection:
        revoke_token(connection, token.id, "test")
    assert not is_in()
    client.cookies.set(COOKIE, "made-up\udcff".encode("utf-8", "replace").decode())
    assert not is_in()


def test_a_name_of_any_letters_is_led_back_to(project: Project) -> None:
    with project.database.write() as connection:
        for model in ("rate of 50%", "a#b", "a?b"):
            ensure_model(connection, model)
    for model in ("rate of 50%", "a#b", "a?b"):
        client = client_of(project)
        wanted = f"/models/{quote(model, safe='')}?alias=champion&at=2026-01-01"
        led = client.get(wanted, headers=HTML)
        page = client.get(led.headers["location"], headers=HTML)
        (place,) = re.findall(r'name="next" value="([^"]*)"', page.text)
        signed = {"name": "root", "password": PASSWORD, "next": unescape(place)}
        done = client.post("/sign-in", data=signed, headers=HTML)
        assert (done.status_code, done.headers["location"]) == (303, wanted)


def test_a_form_that_comes_after_the_session_leads_to_sign_in_and_back_with_what_was_written(
    project: Project,
) -> None:
    client = client_of(project)
    with project.database.read() as connection:
        number = get_revision(connection, "delay").number
    for address, form, place, kept in (
        ("/endpoints/delay/rollback", {"revision": str(number), "to": "", "reason": 'it is "slow"'}, "/endpoints/delay/rollback?reason=it+is+%22slow%22", 'value="it is &#34;slow&#34;"'),
        ("/endpoints/delay/promote", {"revision": str(number), "reason": "seen"}, "/endpoints/delay/promote?reason=seen", 'value="seen"'),
        ("/models/late/2/promote", {"alias": "challenger", "previous": "1", "reason": "better"}, "/models/late/2/promote?alias=challenger&reason=better", 'value="better"'),
        ("/models/late/2/approve", {"comment": "looks right"}, "/models/late/2?comment=looks+right", "late/2"),
    ):  # fmt: skip
        client.cookies.clear()
        told = client.post(address, data=form, headers=HTML)
        assert (told.status_code, told.headers["content-type"][:9]) == (401, "text/html"), address
        assert "nothing was changed" in told.text
        (hidden,) = re.findall(r'name="next" value="([^"]*)"', told.text)
        assert unescape(hidden) == place
        signed = {"name": "root", "password": PASSWORD, "next": unescape(hidden)}
        done = client.post("/sign-in", data=signed, headers=HTML)
        assert (done.status_code, done.headers["location"]) == (303, place)
        page = client.get(place, headers=HTML)
        assert (page.status_code, kept in page.text) == (200, True), address
    client.cookies.clear()
    large = {"reason": "x" * 20_000}
    assert client.post("/endpoints/delay/rollback", data=large, headers=HTML).status_code == 401
    program = client.post("/endpoints/delay/rollback", data={"reason": "x"}, headers={"accept": "*/*"})
    assert program.json()["code"] == "auth.required"
    with project.database.read() as connection:
        assert get_revision(connection, "delay").number == number


def test_a_place_that_is_none_of_ours_is_told_before_one_signs_in(project: Project) -> None:
    client = client_of(project)
    for wanted, is_told in (
        ("https://evil.example/x", True),
        ("//evil.example", True),
        ("/sign-in", True),
        ("/runs", False),
        ("", False),
    ):
        page = client.get("/sign-in", params={"next": wanted}, headers=HTML)
        assert page.status_code == 200
        assert ("You will come to the overview" in page.text) is is_told, wanted


def test_while_the_store_is_away_nobody_is_led_to_sign_in(project: Project) -> None:
    client = client_of(project)
    assert sign_in(client, "root") == 303
    place = Path(str(project.database.engine.url.database))
    place.rename(place.with_suffix(".away"))
    page = client.get("/runs", headers=HTML)
    assert (page.status_code, page.headers["content-type"][:9]) == (503, "text/html")
    assert "the store is away" in unescape(page.text).lower()
    own = client.get("/api/penstock/v1/endpoints", headers=HTML)
    theirs = client.post("/api/2.0/mlflow/experiments/search", json={"max_results": 1})
    for answer in (page, own, theirs):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert place.name not in answer.text
    place.with_suffix(".away").rename(place)
    assert client.get("/runs", headers=HTML).status_code == 200


@table(
    "place",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "runs",
        "",
        "/a\nb",
        "/sign-in",
        "/sign-out",
    ],
)
def test_a_sign_in_leads_to_no_other_server(place: str) -> None:
    assert safe_place(place) == "/"


def test_behind_a_proxys_prefix_everything_leads_below_it(project: Project) -> None:
    client = client_of(project, prefix="/pen")
    led = client.get("/pen/runs", headers=HTML)
    assert led.headers["location"] == "/pen/sign-in?next=%2Fruns"
    form = {"name": "root", "password": PASSWORD, "next": "/runs"}
    done = client.post("/pen/sign-in", data=form, headers=HTML)
    assert done.headers["location"] == "/pen/runs"
    assert "path=/pen" in done.headers["set-cookie"].lower()
