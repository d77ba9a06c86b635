"""Endpoints and versions in states that are seldom looked at, and a store that is away: the right first words, what to type, no failure."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.routing import Mount
from starlette.testclient import TestClient

from flows.production.endpoints import POLICY, World
from penstock.base.clock import now_ms
from penstock.base.store import connection as connection_module
from penstock.base.store.migrate import upgrade
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.production.controlling.health import ControllerHealth
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.app import build_server_app
from penstock.http.pages import model_views
from penstock.http.pages.routes import Page
from penstock.project.places import Places
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.registry.entities import CheckResult, Verdict
from penstock.registry.verdicts import add_verdict, glance_verdicts
from penstock.registry.versions import get_version
from penstock.serving.deployments import list_revisions_of_versions
from penstock.serving.workers import WorkerRevision, register_worker, report_revision
from servers.browser import PageServer, Watched, chromium
from servers.postgres import PostgresServer

LASTING = POLICY.replace("windows: 10}", "windows: 3600}")
"""Traffic of an hour is judged: however slow these tests are, it does not become old."""
DRIFT = LASTING.replace("0.02}", "0.02}\n  - drift: {features: any, psi_max: 0.25}")
SHOTS = os.environ.get("PENSTOCK_SCREENSHOTS")
OTHERS = {"/search", "/why", "/ci/{commit}", "/static/vega-{build}.js"}
"""What shows nothing of the store as it is opened, or what only a run of CI makes."""
LABELS = LASTING.replace("0.02}", "0.02}\n  - quality: {metric: roc_auc, max_drop: 0.1}")


class Looking:
    """A controller that looked at a time, or never."""

    def __init__(self, world: World, ago_ms: int = 0) -> None:
        self.health = ControllerHealth(
            ticked_ms=now_ms() - ago_ms,
            endpoint_count=1,
            problem=None,
            observations=world.controller.observations,
        )


def told(client: TestClient, address: str) -> tuple[int, str]:
    """Return a page's status and its words."""
    answer = client.get(address)
    main = re.sub(
        r"<(script|svg)\b.*?</\1>",
        "",
        answer.text.partition('<main id="main">')[2].partition("</main>")[0],
        flags=re.S,
    )
    return answer.status_code, " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


@pytest.fixture(autouse=True)
def _alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one sign of life last for as long as a test does."""
    monkeypatch.setattr("penstock.serving.workers.ALIVE_MS", 3_600_000)


def serve(world: World, *endpoints: str) -> None:
    """Let a serve process have loaded what endpoints serve, which is heard of."""
    heard_ms = now_ms()
    with world.project.database.write() as connection:
        number = register_worker(connection, host="a", pid=1, url="http://127.0.0.1:8080", time_ms=heard_ms)
    for endpoint in endpoints:
        said = WorkerRevision(
            endpoint=endpoint,
            revision=world.current(endpoint).number,
            state="ready",
            message="",
            time_ms=now_ms(),
        )
        with world.project.database.write() as connection:
            report_revision(connection, number, said)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Endpoints of one model: `held`, `shared` (A/B by hand), `again` (out once more after a rollback), `unlabelled`, `unserved`."""
    world = World(tmp_path_factory.mktemp("states") / "world")
    for number in range(1, 6):
        world.version(number, roc_auc=0.7 + number / 100)
    world.alias(1)
    world.policy(DRIFT, "held")
    world.deploy(1, endpoint="held")
    world.deploy(1, 2, endpoint="held")
    world.policy(LASTING, "shared")
    world.deploy(1, 2, percent=50.0, endpoint="shared", steps=())
    world.policy(LASTING, "again")
    world.deploy(1, endpoint="again")
    world.deploy(3, endpoint="again")
    apply_deployment(world.project, plan_rollback(world.project, "again", reason="its AUC is 0.52"))
    apply_promotion(
        world.project, plan_promotion(world.project, "m/3", force_reason="the feature store was at fault")
    )
    world.deploy(3, endpoint="again", reason="once more")
    world.policy(LABELS, "unlabelled")
    world.deploy(1, endpoint="unlabelled")
    world.deploy(5, endpoint="unserved")
    serve(world, "held", "shared", "again", "unlabelled")
    for endpoint in ("held", "shared", "again", "unlabelled"):
        world.traffic("stable", 200, endpoint=endpoint)
    for endpoint in ("held", "shared"):
        world.traffic("canary", 200, endpoint=endpoint)
    with world.project.database.write() as connection:
        version = get_version(connection, "m", 4)
        failed = CheckResult(
            kind="metric",
            name="roc_auc",
            status="fail",
            severity="block",
            sentence="roc_auc 0.52 is below 0.7",
        )
        add_verdict(
            connection,
            Verdict(
                id="refusal", model="m", model_digest=version.digest, settings_digest="s", data={}, passed=False,
                checks=(failed,), created_ms=now_ms(), actor="ci",
            ),
        )  # fmt: skip
    world.controller.tick()
    yield world
    world.project.close()


FIRST_WORDS = [
    ("/endpoints/held", "◐ held half-way", "the rollout goes no further: drift is not judged", "penstock monitor status held"),
    ("/endpoints/shared", "◐ shared by hand", "stays at 50 % until somebody decides", "penstock deploy shared --model m/2"),
    ("/endpoints/again", "Revision 4 serves m/3", "once more", "Roll back …"),
    ("/endpoints/unlabelled", "◐ watching", "label", "It cannot be rolled back"),
    ("/endpoints/unserved", "No serve process has loaded revision 1 yet, which is to serve m/5", "It cannot be rolled back", "penstock endpoint apply unserved"),
    ("/models/m/3", "m/3 is live: it answers 100 % of again", "● live", "champion"),
    ("/models/m/4", "m/4 may not go out", "○ never out", "roc_auc 0.52 is below 0.7", "It cannot be made champion: "),
    ("/models/m/5", "m/5 is live: it answers 100 % of unserved", "● live", "penstock gate run m/5"),
    ("/models/m/2", "m/2 is canary: it answers held, shared.", "◐ canary", "held"),
    ("/models", "1 model. Live: m/5 on unserved, m/3 on again, m/1 on", "Tried as a canary: m/2 on held, shared"),
]  # fmt: skip


def test_a_page_says_first_what_is_so_and_what_to_type(world: World) -> None:
    client = TestClient(build_server_app(world.project, Looking(world)))
    for address, *words in FIRST_WORDS:
        status, page = told(client, address)
        assert status == 200, address
        for one in words:
            assert one in page, (address, one, page[:900])
    overview = told(client, "/")[1]
    assert "1 of 5 endpoints alerts: held is held half-way." in overview


def test_the_page_of_models_shows_every_model_and_of_each_what_has_a_name_or_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_views, "EACH", 1)
    client = TestClient(build_server_app(world.project, Looking(world)))
    page = client.get("/models").text
    shown = re.findall(r'<tr data-key="m/(\d)">', page)
    assert shown == [
        "5",
        "3",
        "2",
        "1",
    ]  # the newest, and what endpoints answer with; 4 was refused and is nowhere
    assert "4 of 5: the newest" in page
    with world.project.database.read() as connection:
        versions = [get_version(connection, "m", number) for number in (1, 4)]
        asked = [(one.model, one.digest, None) for one in versions]
        found = glance_verdicts(connection, asked)
        assert {key: one.id for key, one in found.items()} == {asked[1]: "refusal"}
        assert glance_verdicts(connection, [(*asked[1][:2], 1)]) == {}
        served = list_revisions_of_versions(connection, [("m", 3), ("m", 4)])
        assert [(one.endpoint, one.number) for one in served["m", 3]] == [("again", 4), ("again", 2)]
        assert served["m", 4] == []


def test_every_page_opens_on_states_that_are_seldom(world: World) -> None:
    client = TestClient(build_server_app(world.project, Looking(world)), raise_server_exceptions=False)
    names = ("held", "shared", "again", "unlabelled", "unserved")
    addresses = ["/", "/endpoints", "/events", "/models", "/models/m", "/models/m/compare?versions=1,2,3,4,5"]
    addresses += [
        f"/endpoints/{name}{tail}" for name in names for tail in ("", "/drift", "/rollback", "/promote")
    ]
    addresses += [f"/models/m/{number}{tail}" for number in range(1, 6) for tail in ("", "/card", "/promote")]
    addresses += [*(f"/why/{name}" for name in names), *(f"/why/m/{number}" for number in range(1, 6))]
    for address in addresses:
        status, page = told(client, address)
        assert status in {200, 403, 404}, (address, status, page[:300])
        if status != 200:
            assert "Try:" in page, (address, page)


@pytest.mark.slow
def test_states_that_are_seldom_fit_wide_and_narrow_windows(world: World) -> None:
    server = PageServer(build_server_app(world.project, Looking(world)))
    server.start()
    wrong = []
    with chromium() as browser:
        watched = Watched.of(browser.new_page())
        for address in ("/", *(one[0] for one in FIRST_WORDS), "/models"):
            watched.page.goto(server.url + address)
            for width, scheme in ((1440, "light"), (390, "dark")):
                watched.page.set_viewport_size({"width": width, "height": 900})
                watched.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                shown = watched.page.evaluate("document.documentElement.scrollWidth")
                wrong += [f"{address} is {shown} wide in {width}"] if shown > width else []
                if SHOTS:
                    name = "state-" + re.sub(r"\W+", "-", address).strip("-")
                    Path(SHOTS).mkdir(parents=True, exist_ok=True)
                    watched.page.screenshot(path=Path(SHOTS) / f"{name}-{width}-{scheme}.png", full_page=True)
        assert watched.errors == []
    server.stop()
    assert wrong == []


def test_a_controller_that_has_stopped_is_the_first_thing_that_is_told(world: World) -> None:
    client = TestClient(build_server_app(world.project, Looking(world, ago_ms=60_000)))
    page = told(client, "/")[1]
    assert page.startswith("Overview Nobody watches: the controller of this server has stopped")
    assert "penstock server" in page
    assert not told(TestClient(build_server_app(world.project, Looking(world))), "/")[1].startswith(
        "Overview Nobody"
    )


def every_page(client: TestClient) -> Iterator[str]:
    """Yield an address of every page that reads the store, whatever it is asked for."""
    mount = next(one for one in client.app.routes if isinstance(one, Mount) and not one.path)  # type: ignore[attr-defined]
    for route in mount.routes:
        if isinstance(route, Page) and "GET" in (route.methods or ()) and route.path not in OTHERS:
            yield re.sub(r"\{name\}.svg", "scatter.svg", re.sub(r"\{(\w+)(:path)?\}", "1", route.path))


def assert_away(client: TestClient) -> None:
    """Check that every page says that the store is away, and what to look at."""
    asked = 0
    for address in every_page(client):
        status, page = told(client, address)
        asked += 1
        reads_git = address.startswith(("/data", "/pipeline"))
        needs_path = address.endswith(("/view", "/raw", "/files", "/download"))
        assert status in {503, *({200, 404} if reads_git else {400} if needs_path else ())}, (
            address,
            page[:300],
        )
        if status == 503:
            assert "Not reachable just now" in page, (address, page[:300])
            assert "check `store:` in penstock.yaml" in page, (address, page[:300])
    assert asked > 20


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "world")
    world.version(1)
    world.deploy(1)
    yield world
    world.project.close()


def client_of(world: World) -> TestClient:
    app = build_server_app(world.project, Looking(world))
    return TestClient(app, raise_server_exceptions=False)


def test_a_store_whose_file_is_gone_is_told_on_every_page_and_nothing_is_made_in_its_place(
    lone: World,
) -> None:
    client = client_of(lone)
    assert told(client, "/endpoints/delay")[0] == 200
    place = Path(str(lone.project.database.engine.url.database))
    place.rename(place.with_suffix(".away"))
    assert_away(client)
    assert not place.exists()
    place.with_suffix(".away").rename(place)
    assert told(client, "/endpoints/delay")[0] == 200


def test_a_store_that_another_program_keeps_locked_is_told(
    lone: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(str(lone.project.database.engine.url.database))
    lone.project.database.close()
    monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_S", 0.01)
    project = Project(lone.project.places, lone.project.settings, "controller")
    client = TestClient(build_server_app(project, Looking(lone)), raise_server_exceptions=False)
    project.database.close()
    other = sqlite3.connect(place, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("CREATE TABLE mine (x)")
    status, page = told(client, "/endpoints/delay")
    assert status == 503, page
    assert "locked" in page
    other.execute("ROLLBACK")
    other.close()
    assert told(client, "/endpoints/delay")[0] == 200
    project.close()


def test_a_postgresql_that_ends_is_told_on_every_page_and_one_that_is_back_too(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.new_database()
    name, base = url.rpartition("/")[2], url.rpartition("/")[0] + "/postgres"
    places = Places(tmp_path, tmp_path / ".penstock", url, str(tmp_path / "artifacts"))
    project = Project(places, ProjectSettings(project="far"), "controller")
    upgrade(project.database)

    def admin(*statements: str) -> None:
        engine = sa.create_engine(
            base.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            for one in statements:
                connection.exec_driver_sql(one)
        engine.dispose()

    health = ControllerHealth(ticked_ms=now_ms(), endpoint_count=0, problem=None)
    looking = type("Quiet", (), {"health": health})()
    client = TestClient(build_server_app(project, looking), raise_server_exceptions=False)
    assert told(client, "/")[0] == 200
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", ended)
    assert_away(client)
    admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert told(client, "/")[0] == 200
    project.close()


def test_the_rules_of_an_endpoint_are_told_wherever_it_is_shown(lone: World) -> None:
    client = client_of(lone)
    assert "rules" not in told(client, "/endpoints")[1]
    rules = "".join(
        f"    - {{header: x-tenant, equals: [acme, '<b>{number}'], version: {number}}}\n" for number in (2, 3)
    )
    lone.version(2)
    lone.version(3)
    lone.policy(f"{LASTING}traffic:\n  rules:\n{rules}")
    lone.controller.tick()
    for address in ("/", "/endpoints", "/endpoints/delay"):
        page = told(client, address)[1]
        assert "header x-tenant = acme or <b>2" in page, (address, page[:900])
        assert "m/3" in page, address
        assert "<b>2" not in client.get(address).text
    assert "requests with header x-tenant = acme or <b>2 go to m/2" in told(client, "/endpoints/delay")[1]
