"""What pages offer to do in every state: each button leads to a page that opens, and what is not offered says why and what to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from starlette.testclient import TestClient

from penstock.access.users import add_user
from penstock.flows.models.aliases import AliasPolicy
from penstock.flows.models.judging import run_gate_on
from penstock.flows.models.removing import delete_version
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.app import build_server_app
from penstock.http.pages.decisions.offers import Offer, offer
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.workspace import open_workspace
from projects import Sample
from servers.browser import PageServer, Watched, chromium

FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
PASSWORD = "three blind mice run"
PAGES = ("/models/late/1", "/models/late/2", "/endpoints/delay")
APPROVED = "  - approval: {people: 1}\nendpoints:"


@pytest.fixture
def sample(two_versions_root: Path, tmp_path: Path) -> Iterator[Sample]:
    """`late/1` is stable on `delay` and champion, `late/2` is the canary; both passed."""
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/1"))
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/2", canary=20.0))
    yield sample
    sample.close()


def set_gates(sample: Sample, old: str, new: str) -> Project:
    """Write other gates, and return the project as who starts a server anew opens it."""
    text = (sample.root / "penstock.yaml").read_text()
    assert old in text
    sample.write("penstock.yaml", text.replace(old, new))
    return open_workspace(sample.root, {"USER": "ada"})


def look(browser: Browser, project: Project) -> dict[str, tuple[list[str], str]]:
    """Follow every button of the pages, and return by page where they lead and what the page says."""
    server = PageServer(build_server_app(project, ControllerLoop(project)))
    server.start()
    watched = Watched.of(browser.new_page())
    page, found = watched.page, dict[str, tuple[list[str], str]]()
    for address in PAGES:
        page.goto(server.url + address)
        links = page.locator("main a.button, main a[href*='rollback?to=']").all()
        leads = [str(one.get_attribute("href")) for one in links]
        found[address] = (leads, " ".join(page.locator("main").inner_text().split()))
        for lead in leads:
            opened = page.goto(server.url + lead)
            assert opened is not None
            assert opened.status == 200, (address, lead, opened.status)
            assert page.locator("main form button.danger").is_visible(), (address, lead)
    page.close()
    assert watched.errors == []
    server.stop()
    return found


@pytest.mark.slow
def test_no_button_leads_to_a_refusal_and_what_cannot_be_done_says_why_and_what_to_type(
    sample: Sample,
) -> None:
    champion, rollback, canary = (
        "/models/late/2/promote",
        "/endpoints/delay/rollback",
        "/endpoints/delay/promote",
    )
    with chromium() as browser:
        seen = look(browser, sample.project)
        assert seen["/models/late/2"][0] == [champion]
        assert {rollback, canary} <= set(seen["/endpoints/delay"][0])
        assert seen["/models/late/1"][0] == []  # champion already

        other = set_gates(sample, "min: 0.6}", "min: 0.61}")
        leads, words = look(browser, other)["/models/late/2"]
        assert leads == []
        assert "So it cannot be made champion" in words or "the gates changed since it was judged" in words, (
            words
        )
        assert "penstock gate run late/2" in words
        leads, words = look(browser, other)["/endpoints/delay"]
        assert canary not in leads
        assert rollback in leads  # who is on call goes back whatever the gates say
        assert (
            "The canary cannot be promoted: late/2 cannot be given more traffic: the gates changed" in words
        )

        strict = set_gates(sample, "min: 0.61}", "min: 0.999}")
        assert not run_gate_on(strict, "late/2").passed
        leads, words = look(browser, strict)["/models/late/2"]
        assert leads == []
        assert "It cannot be made champion: its gate refused it: roc_auc" in words, words
        strict.close()
        other.close()

        loose = set_gates(sample, "min: 0.999}", "min: 0.6}")
        apply_deployment(loose, plan_rollback(loose, "delay", reason="its AUC is 0.52"))
        apply_deployment(loose, plan_deployment(loose, "delay", "late/2", force=True, reason="once more"))
        apply_deployment(loose, plan_rollback(loose, "delay", reason="its AUC is 0.51"))
        leads, words = look(browser, loose)["/models/late/2"]
        assert leads == []
        assert "It is not deployed or promoted until somebody says with" in words
        leads, words = look(browser, loose)["/endpoints/delay"]
        assert leads == []  # nothing else ever served, but for what was rolled back
        assert "It cannot be rolled back: every other version that delay served was rolled back" in words
        assert "--to REVISION --force --reason TEXT goes back to one all the same" in words
        assert "its version was rolled back" in words

        with loose.database.write() as connection:
            delete_version(connection, AliasPolicy.of(loose), "late", 2, "person:ada")
        server = TestClient(build_server_app(loose, ControllerLoop(loose)))
        gone = server.get("/models/late/2", headers={"accept": "text/html"})
        assert gone.status_code == 404
        assert "promote" not in gone.text
        assert "its version was deleted" in server.get("/endpoints/delay").text
        loose.close()


def test_a_form_of_approval_stands_only_before_who_may_send_it(sample: Sample) -> None:
    project = set_gates(sample, "endpoints:", APPROVED)
    with project.database.write() as connection:
        for name, role in (("grace", "writer"), ("ada", "writer"), ("eve", "reader")):
            add_user(connection, name, role, PASSWORD, "test")
    nobody = TestClient(build_server_app(project, ControllerLoop(project)), base_url="http://127.0.0.1")
    words = words_of(nobody.get("/models/late/2").text)
    assert "You cannot approve it here: only a person approves" in words
    assert "/approve" not in nobody.get("/models/late/2").text
    app = build_server_app(project, ControllerLoop(project), asks_for_credentials=True)
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)

    def page_of(name: str) -> str:
        client.post("/sign-in", data={"name": name, "password": PASSWORD, "next": "/"}, headers=FORM)
        return str(client.get("/models/late/2").text)

    assert "To approve it needs the role writer" in words_of(page_of("eve"))
    assert "ada made late/2: somebody else approves it" in words_of(page_of("ada"))
    before = page_of("grace")
    assert "<button>Approve" in before
    assert "Withdraw my approval" not in before
    sent = client.post("/models/late/2/approve", content="comment=seen", headers=FORM)
    assert sent.status_code == 303
    after = page_of("grace")
    assert "<button>Approve" not in after
    assert "Withdraw my approval" in after
    project.close()


def words_of(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_a_hint_is_typed_only_where_it_is_a_command_and_no_more() -> None:
    assert Offer("no: x", "penstock gate run late/2").command == "penstock gate run late/2"
    assert Offer("no: x", "penstock gate approve late/2, by somebody else than its author").command == ""
    assert Offer("late/2 cannot go out: no gate: none", "").why == "no gate: none"
    assert offer(lambda: 1).is_open
