"""What pages tell who is on call where things do not go well: nothing to go back to, a lost process, nothing deployed."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import POLICY, Looking, World
from penstock.base.clock import now_ms
from penstock.base.settings import parse_settings
from penstock.cli.production.monitor import _render
from penstock.flows.production.overview import overview as status
from penstock.http.app import build_server_app
from penstock.monitoring.settings import EndpointSettings
from penstock.project.project import Project
from penstock.serving.workers import WorkerRevision, register_worker, report_revision

ALERT_ONLY = POLICY.replace("{max_ratio: 0.02}", "{max_ratio: 0.02, action: alert}")


def told(world: World, address: str) -> str:
    """Return the words of a page's content, and its status."""
    answer = TestClient(build_server_app(world.project, Looking(world))).get(address)
    main = re.sub(
        r"<(script|svg)\b.*?</\1>", "", answer.text.partition("<main")[2].partition("</main>")[0], flags=re.S
    )
    return f"{answer.status_code} " + " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


def worker(world: World, *, ago_ms: int = 0, port: int = 8080, endpoint: str = "delay") -> None:
    """Let a serve process have served the current revision, seen some time ago."""
    with world.project.database.write() as connection:
        number = register_worker(
            connection, host="a", pid=1, url=f"http://127.0.0.1:{port}", time_ms=now_ms() - ago_ms
        )
        said = WorkerRevision(
            endpoint=endpoint,
            revision=world.current(endpoint).number,
            state="ready",
            message="",
            time_ms=now_ms(),
        )
        report_revision(connection, number, said)


@pytest.fixture
def made(tmp_path: Path) -> World:
    """A store with three versions, nothing deployed."""
    world = World(tmp_path / "world")
    for number in (1, 2, 3):
        world.version(number)
    return world


def test_where_no_version_is_left_pages_do_not_advise_a_rollback_that_would_be_refused(made: World) -> None:
    made.policy()
    made.deploy(1)
    worker(made)
    made.traffic("stable", 200, 150)
    made.controller.tick()
    for address in ("/", "/endpoints/delay"):
        page = told(made, address)
        assert "there is no earlier version to go back to" in page
        assert "penstock model list m" in page
        assert "penstock rollback delay" not in page
    made.project.close()


def test_a_canary_that_won_and_then_breaches_is_rolled_back_and_the_page_tells(made: World) -> None:
    made.policy()
    made.alias(1)
    made.deploy(1)
    made.deploy(1, 2)
    worker(made)
    for _ in range(4):
        made.traffic("canary", 100)
        made.traffic("stable", 100)
        made.controller.tick()
    assert (made.current().stable, made.current().kind) == (2, "promoted")
    made.traffic("stable", 200, 150)
    made.controller.tick()
    page = told(made, "/")
    assert "rolled back: delay is back at m/1" in page
    assert "because stable version 2:" in page
    made.project.close()


def test_two_breaches_at_once_are_both_named_the_one_that_only_alerts_last(made: World) -> None:
    for endpoint, policy in (("delay", POLICY), ("fares", ALERT_ONLY)):
        made.policy(policy, endpoint)
        made.deploy(1, endpoint=endpoint)
        worker(made, endpoint=endpoint)
        made.traffic("stable", 200, 150, endpoint=endpoint)
    made.controller.tick()
    assert "1 of 2 endpoints needs you: delay is breached; besides, fares is breached." in told(made, "/")
    made.project.close()


def test_one_endpoint_is_told_by_its_name_and_why_each_guardrail_is_not_judged(made: World) -> None:
    quality = "\n  - quality: {metric: roc_auc, max_drop: 0.1}\n  - drift: {features: any, psi_max: 0.25}"
    made.policy(POLICY.replace("0.02}", "0.02}" + quality))
    made.deploy(1)
    worker(made)
    made.traffic("stable", 5)
    made.controller.tick()
    page = told(made, "/")
    assert "Overview delay is not judged." in page
    for why in ("5 of 20 requests yet", "no offline roc_auc is known", "without a reference profile"):
        assert why in page
    made.project.close()


def test_a_serve_process_that_ended_without_a_word_is_told_for_an_hour(made: World) -> None:
    made.policy()
    made.deploy(1)
    worker(made)
    worker(made, ago_ms=60_000, port=8081)
    worker(made, ago_ms=2 * 3_600_000, port=8082)
    made.traffic("stable", 100)
    made.controller.tick()
    overview, endpoint = told(made, "/"), told(made, "/endpoints/delay")
    assert "The endpoint is healthy." in overview
    assert "■ lost http://127.0.0.1:8081" in overview
    assert "■ lost it ended without a word" in endpoint
    assert "8082" not in overview + endpoint
    (view,) = status(made.project)
    assert "lost    http://127.0.0.1:8081 on a: it ended without a word, seen last 20" in _render(view)
    made.project.close()


def test_an_endpoint_that_is_down_still_tells_what_its_last_traffic_breached(made: World) -> None:
    made.policy()
    made.deploy(1)
    made.traffic("stable", 200, 150)
    made.controller.tick()
    assert "Nothing answers for revision 1, m/1 ." in told(made, "/endpoints/delay")
    page = told(made, "/")
    assert "no serve process is running" in page
    assert "its last traffic breached a limit: stable version 1: 150 of 200 requests failed" in page
    made.project.close()


def test_an_endpoint_that_only_the_settings_name_says_how_it_is_deployed(made: World) -> None:
    entry = parse_settings(POLICY, EndpointSettings, "policy")
    settings = msgspec.structs.replace(made.project.settings, endpoints={"night flights": entry})
    named = World.__new__(World)
    named.__dict__.update(made.__dict__)
    named.project = Project(made.project.places, settings, "controller")
    for address, code in (("/", "200"), ("/endpoints/night%20flights", "404")):
        page = told(named, address)
        assert page.startswith(code)
        assert "penstock deploy 'night flights'" in page
        assert "no version was ever deployed to it" in page
    named.project.close()
    made.project.close()


def test_the_page_says_why_drift_is_not_judged_and_offers_only_ways_back_that_are_open(made: World) -> None:
    made.policy(POLICY.replace("0.02}", "0.02}\n  - drift: {features: any, psi_max: 0.25}"))
    for version in (1, 2, 3):
        made.deploy(version)
    worker(made)
    made.traffic("stable", 200, 150)
    made.controller.tick()
    assert made.current().kind == "rolled_back"
    page = told(made, "/endpoints/delay")
    assert "the version was registered without a reference profile" in page.partition("Drift by feature")[2]
    raw = TestClient(build_server_app(made.project, Looking(made))).get("/endpoints/delay").text
    # revision 2 served what answers now, revision 3 was rolled back
    assert re.findall(r"rollback\?to=(\d+)", raw) == ["1"]
    made.project.close()
