"""People other than the author approve a version before a door opens; each counts once, and may take it back."""

from __future__ import annotations

import pwd
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from flows.models.test_asked_models import judged
from penstock.access.users import add_user
from penstock.base.errors import PenstockError
from penstock.base.signing import make_key
from penstock.base.store.events import events
from penstock.cli.main import cli
from penstock.flows.models.aliases import plan_promotion
from penstock.flows.models.evidence.approving import approval_standing, decide_approval
from penstock.flows.production.deploying import plan_deployment
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.registry.approvals import add_approval
from penstock.registry.entities import ModelVersion
from penstock.registry.versions import get_version
from penstock.workspace import open_workspace
from projects import Sample

ASKED = "gates:\n  - metric: {name: roc_auc, min: 0.6}\n  - approval: {people: 2}\n"
PASSWORD = "three blind mice run"


@pytest.fixture
def project(released: Sample) -> Iterator[Project]:
    verdict = judged(released, ASKED)
    assert verdict.passed
    assert [check.status for check in verdict.checks] == ["pass", "waiting"]
    assert verdict.summary == "1 of 2 checks passed, 1 asked at each door"
    project = open_workspace(released.root, {"USER": "ada"})
    yield project
    project.close()


def version_of(project: Project) -> ModelVersion:
    with project.database.read() as connection:
        return get_version(connection, "late", 1)


def said_by(project: Project) -> str:
    """Return what both doors say, `open` where they let the version through."""
    said = set()
    for door in (
        lambda: plan_promotion(project, "late/1"),
        lambda: plan_deployment(project, "delay", "late/1"),
    ):
        try:
            door()
            said.add("open")
        except PenstockError as error:
            assert error.code == "gate.not_approved", error
            said.add(error.message.rpartition("approve it, ")[2])
    assert len(said) == 1
    return said.pop()


def refused(project: Project, actor: str, *, withdraw: bool = False) -> str | None:
    try:
        decide_approval(project, version_of(project), actor, withdraw=withdraw)
    except PenstockError as error:
        return error.code
    return None


def test_doors_open_when_enough_people_approved_and_close_when_one_takes_it_back(project: Project) -> None:
    version = version_of(project)
    assert said_by(project) == "nobody did"
    author = version.actor
    for actor, code in (
        (author, "gate.own_approval"),
        (author.upper().replace("PERSON:", "person:"), "gate.own_approval"),
        ("person:ada@example.org", "gate.own_approval"),  # whom git names as the author
        ("ci", "gate.no_person"),
        ("page", "gate.no_person"),
        ("person: ", "gate.no_person"),
    ):
        assert refused(project, actor) == code, actor
    assert refused(project, "person:bob") is None
    assert said_by(project) == "person:bob did"
    assert refused(project, "person:Bob") == "gate.said_before"
    assert said_by(project) == "person:bob did"  # one person counts once, however written
    assert refused(project, "person:carol") is None
    assert said_by(project) == "open"
    assert refused(project, "person:dan", withdraw=True) == "gate.said_before"
    assert refused(project, "person:bob", withdraw=True) is None
    assert said_by(project) == "person:carol did"
    assert refused(project, "person:bob") is None
    assert said_by(project) == "open"


def test_what_nobody_trusted_signed_or_was_changed_or_is_of_another_content_counts_for_nobody(
    project: Project,
) -> None:
    version = version_of(project)
    decide_approval(project, version, "person:bob")
    with project.database.write() as connection:
        add_approval(connection, version, "person:eve", "", make_key(), withdrawn=False)
        add_approval(connection, version, "person:bob", "", make_key(), withdrawn=True)
    assert said_by(project) == "person:bob did"  # nor is one taken back by a stranger
    decide_approval(project, version, "person:carol", "it is good")
    assert said_by(project) == "open"
    carol = events.c.actor == "person:carol"
    for column in (
        {"actor": "person:dan"},
        {"kind": "gate.approval_withdrawn"},
        {"cause": {"comment": "it is good"}},
    ):
        with project.database.write() as connection:
            row = connection.execute(events.select().where(carol)).mappings().one()
            connection.execute(events.update().where(carol).values(**column))
        assert said_by(project) == "person:bob did", column
        with project.database.write() as connection:
            connection.execute(events.update().where(events.c.id == row["id"]).values(**row))
    assert said_by(project) == "open"
    from msgspec.structs import replace

    other = replace(version, digest="0" * 64)
    with project.database.read() as connection:
        standing = approval_standing(project, connection, other)
    assert standing.lacking.endswith("nobody did")
    assert {one.sentence for one in standing.approvals} == {
        "of another version",
        "signed by no key that is trusted here",
    }


def test_a_warning_or_a_waiver_does_not_keep_doors_shut_and_only_named_people_count(released: Sample) -> None:
    for text, said in (
        ("  - approval: {people: 1}\n    severity: warn\n", "open"),
        (
            "  - approval: {people: 1}\n    waiver: {by: ada, reason: alone here, until: 2999-01-01}\n",
            "open",
        ),
        ("  - approval: {people: 1, of: [carol]}\n", "nobody did"),
    ):
        assert judged(released, f"gates:\n{text}").passed
        project = open_workspace(released.root, {"USER": "ada"})
        if said != "open":
            decide_approval(project, version_of(project), "person:bob")
        assert said_by(project) == said
        project.close()


def test_the_systems_user_approves_in_a_terminal_whatever_variables_say_and_show_tells(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(user: str, *words: str, variables: str = "") -> tuple[int, str, str]:
        number = pwd.getpwnam(user).pw_uid
        monkeypatch.setattr("penstock.project.opening.os.getuid", lambda: number)
        monkeypatch.setenv("USER", user)
        monkeypatch.setenv("PENSTOCK_ACTOR", variables)
        done = CliRunner().invoke(cli, ["-C", str(project.root), "gate", *words])
        return done.exit_code, done.stdout, f"{done.stderr}{done.exception or ''}"

    assert (
        "No door opens yet: 2 people other than the author must approve it, nobody did."
        in run("bin", "show", "late/1")[1]
    )
    assert run("bin", "approve", "late/1", "--comment", "looks right")[0] == 0
    code, _, told = run("bin", "approve", "late/1", variables="person:carol")
    assert code != 0
    assert "person:carol is what variables say; in a terminal person:bin approves" in told
    assert "person:bin approved late/1 already" in told
    assert run("daemon", "approve", "late/1")[:2] == (0, "person:daemon approved late/1.\n")
    told = run("bin", "show", "late/1")[1]
    assert "approved: looks right" in told
    assert "wait   approval: no door opens before 2 people other than the author approved it" in told
    assert "No door opens" not in told.replace("no door opens before", "")
    assert "withdrew" in run("bin", "approve", "late/1", "--withdraw")[1]
    assert "person:bin on " in run("bin", "show", "late/1")[1]


def test_who_is_signed_in_approves_by_a_click_or_by_the_api_and_roles_are_respected(project: Project) -> None:
    with project.database.write() as connection:
        for name, role in (("bob", "writer"), ("carol", "writer"), ("rita", "reader")):
            add_user(connection, name, role, PASSWORD, "person:ada")
    app = build_server_app(project, ControllerLoop(project), asks_for_credentials=True)

    def client(name: str) -> TestClient:
        made = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
        made.auth = (name, PASSWORD)
        return made

    page, api = "/models/late/1/approve", "/api/penstock/v1/models/late/versions/1/approvals"
    form = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
    assert client("rita").post(page, content="comment=x", headers=form).status_code == 403
    assert client("rita").post(api, json={}).status_code == 403
    assert page not in client("rita").get("/models/late/1").text
    assert page in client("bob").get("/models/late/1").text
    assert client("bob").post(page, content="comment=by+a+click", headers=form).status_code == 303
    assert "by a click" in client("carol").get("/models/late/1").text
    told = client("carol").post(api, json={"comment": "by the API"})
    assert told.status_code == 200, told.text
    assert [(one["actor"], one["counts"]) for one in told.json()] == [
        ("person:bob", True),
        ("person:carol", True),
    ]
    assert said_by(project) == "open"
    assert client("carol").post(api, json={"withdraw": True}).json()[1]["counts"] is False
    assert client("carol").post(api, content=b"[1").status_code == 400
    open_app = build_server_app(project, ControllerLoop(project), asks_for_credentials=False)
    nobody = TestClient(open_app, base_url="http://127.0.0.1", follow_redirects=False)
    refused = nobody.post(page, content="comment=x", headers=form)
    assert (refused.status_code, "Only a person approves" in refused.text) == (403, True)
