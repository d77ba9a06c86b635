"""Charts to explore by: drawn by the library that we serve, brushed into the address; without scripts, as pictures."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect
from starlette.testclient import TestClient

from hostile import MARKUP, TURNED, Hostile, fill
from patience import wait_until
from penstock.base.clock import now_ms
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.http.pages.drawing.exploring import dimensions_of, parallel, scatter
from penstock.http.pages.runs import explore_views
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.tracking.entities import Run
from projects import Sample
from servers.browser import PageServer, Watched, chromium

pytestmark = pytest.mark.slow
CROWD = 30


@pytest.fixture(scope="module")
def project(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sample = Sample.copy(released_root, tmp_path_factory.mktemp("exploring") / "project")
    yield sample.project
    sample.close()


@pytest.fixture(scope="module")
def hostile(project: Project) -> Hostile:
    return fill(project, run_count=CROWD)


@pytest.fixture(scope="module")
def server(project: Project, hostile: Hostile) -> Iterator[PageServer]:
    started = PageServer(build_server_app(project, ControllerLoop(project)))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    yield context.new_page()
    context.close()


def crowd() -> list[str]:
    return [f"{place:032x}" for place in range(1_000_000, 1_000_000 + CROWD)]


def brush(
    page: Page, drawn: Locator, across: tuple[float, float], down: tuple[float, float], address: str
) -> None:
    """Brush until the address says so: what is drawn above may still come and move a chart between look and stroke."""

    def stroke() -> bool:
        drawn.scroll_into_view_if_needed()
        box = drawn.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + across[0] * box["width"], box["y"] + down[0] * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + across[1] * box["width"], box["y"] + down[1] * box["height"], steps=4)
        page.mouse.up()
        with suppress(TimeoutError):
            page.wait_for_url(re.compile(address), timeout=10_000)
        return bool(re.search(address, page.url))

    wait_until(stroke)


def test_a_brush_narrows_the_table_and_stands_in_the_address(page: Page, server: PageServer) -> None:
    watched = Watched.of(page)
    page.goto(f"{server.url}/compare?runs={','.join(crowd())}")
    drawn = page.locator("#scatter .drawn svg")
    expect(drawn).to_be_visible()
    expect(page.locator("#parallel .drawn svg")).to_be_visible()
    expect(page.locator(".answer")).to_contain_text("8 of 30 runs differ")
    brush(page, drawn, (0.5, 0.95), (0.05, 0.4), "chosen=")
    expect(page.locator("#chosen b")).to_have_text(re.compile(r"^\d+ of 30 chosen$"))
    chosen = page.url.partition("chosen=")[2].split(",")
    expect(page.locator(".answer")).to_contain_text(f"{len(chosen)} of 30 runs differ")
    assert set(chosen) < set(crowd())
    expect(drawn).to_be_visible()
    page.reload()
    expect(page.locator("#chosen b")).to_have_text(f"{len(chosen)} of 30 chosen")
    page.get_by_role("link", name="Keep only these").click()
    expect(page.locator(".answer")).to_contain_text(f"{len(chosen)} runs differ")
    drawn = page.locator("#parallel .drawn svg")
    expect(drawn).to_be_visible()
    brush(page, drawn, (0.02, 0.1), (0.1, 0.95), "chosen=")
    assert watched.errors == []
    assert [one for one in watched.requests if not one.startswith(server.url)] == []


def test_the_library_is_asked_for_once_and_only_when_a_picture_is_in_view(
    page: Page, server: PageServer, hostile: Hostile
) -> None:
    watched = Watched.of(page)
    few = ",".join(crowd()[:6])
    page.set_viewport_size({"width": 1440, "height": 400})
    page.goto(f"{server.url}/compare?runs={few}", wait_until="networkidle")
    asked = [one for one in watched.requests if "/vega-" in one]
    assert asked == []
    below = page.evaluate(
        "document.getElementById('explore').offsetTop > document.getElementById('beside').offsetTop"
    )
    assert below
    page.locator("#explore").scroll_into_view_if_needed()
    page.locator("#parallel").scroll_into_view_if_needed()
    expect(page.locator("#parallel .drawn svg")).to_be_visible()
    assert len([one for one in watched.requests if "/vega-" in one]) == 1
    assert watched.errors == []


def test_a_library_that_does_not_come_is_told_and_asked_for_again(
    page: Page, server: PageServer, hostile: Hostile
) -> None:
    page.route("**/vega-*.js", lambda route: route.abort())
    page.goto(f"{server.url}/compare?runs={','.join(crowd())}")
    told = page.locator("#scatter .drawn")
    expect(told).to_contain_text("did not come")
    page.unroute("**/vega-*.js")
    page.locator("main table").last.evaluate("document.body.style.paddingBottom = '3000px'")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(told).not_to_be_in_viewport()
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#scatter .drawn svg")).to_be_visible()


def test_without_a_script_the_same_is_a_picture(browser: Browser, server: PageServer) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server.url}/compare?runs={','.join(crowd())}&x=params.seed&y=metrics.loss")
    picture = page.get_by_role("img", name="loss by seed of 30 runs")
    expect(picture).to_be_visible()
    address = picture.get_attribute("src")
    answer = context.request.get(f"{server.url}{address}")
    assert answer.ok
    assert "<svg" in answer.text()
    context.close()


def test_the_library_is_ours_kept_by_browsers_and_loaded_only_where_something_is_drawn(
    project: Project, hostile: Hostile
) -> None:
    client = TestClient(build_server_app(project, ControllerLoop(project)))
    address = f"/static/vega-{explore_views.find_build()}.js"
    assert re.fullmatch(r"/static/vega-[\d.a-z]+-[0-9a-f]{12}\.js", address)
    answer = client.get(address, headers={"Accept-Encoding": "gzip"})
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    assert plain.content == answer.content
    assert len(gzip.compress(plain.content)) < 400_000
    assert client.get("/static/vega-0.0.js").status_code == 404
    assert "unsafe" not in client.get("/compare").headers["content-security-policy"]
    runs = ",".join(crowd())
    for page, is_loaded in (
        ("/runs", False), (f"/compare?runs={crowd()[0]},{crowd()[1]}", False), (f"/compare?runs={runs}", True)
    ):  # fmt: skip
        assert (address in client.get(page).text) is is_loaded


def test_a_server_without_the_library_says_how_to_get_it(
    project: Project, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore_views, "find_build", lambda: None)
    client = TestClient(build_server_app(project, ControllerLoop(project)))
    text = client.get(f"/compare?runs={','.join(crowd())}").text
    assert "penstock[plots]" in text
    assert "vega-" not in text


def test_names_and_values_of_others_are_data_in_what_is_drawn(
    page: Page, server: PageServer, hostile: Hostile
) -> None:
    watched = Watched.of(page)
    runs = [hostile.long, hostile.turned, hostile.markup, hostile.endless, hostile.parent]
    page.goto(f"{server.url}/compare?runs={','.join(runs)}")
    expect(page.locator("#parallel .drawn svg")).to_be_visible()
    assert watched.errors == []
    named = [
        Run(id=f"{place:032x}", experiment="x", name=TURNED, status="FINISHED", start_ms=1,
            params={MARKUP: f"datum.x{place}", "n": str(place)}, metrics={"loss": float(place), TURNED: 1.0 / (1 + place)})
        for place in range(4)
    ]  # fmt: skip
    dimensions = dimensions_of(named)
    assert [one.is_number for one in dimensions] == [False, True, True, True]
    for spec in (scatter(named, dimensions[0], dimensions[3]), parallel(named, dimensions, dimensions[2])):
        assert "\u202e" not in str(spec)


def test_runs_that_lack_a_value_are_left_out_of_its_axis_and_one_value_is_no_axis() -> None:
    runs = [
        Run(id=f"{place}" * 32, experiment="x", name=str(place), status="FINISHED", start_ms=1,
            params={"same": "1", "depth": str(place)}, metrics={"loss": 1.0 / place} if place > 1 else {"loss": float("nan")})
        for place in (1, 2, 3)
    ]  # fmt: skip
    found = dimensions_of(runs)
    assert [one.name for one in found] == ["params.depth", "metrics.loss"]
    assert [row["id"] for row in scatter(runs, *found)["data"]["values"]] == [1, 2]
    rows = parallel(runs, found, found[1])["data"]["values"]
    assert [(row["id"], row["axis"], row["at"]) for row in rows] == [
        (0, "depth", 0.0), (1, "depth", 0.5), (1, "loss", 1.0), (2, "depth", 1.0), (2, "loss", 0.0),
    ]  # fmt: skip


def test_a_brush_over_a_chart_of_an_endpoint_is_the_time_of_the_address(
    page: Page, server: PageServer, project: Project
) -> None:
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    start_s = now_ms() // 60_000 * 60 - 1200
    with project.database.write() as connection:
        add_partials(
            connection,
            [
                Partial(
                    window=Window(
                        key=WindowKey("delay", start_s + 60 * at, 1, 1, "stable"),
                        window_s=60,
                        request_count=100 + at,
                        row_count=100 + at,
                    ),
                    worker=1,
                    sequence=at + 1,
                )
                for at in range(20)
            ],
        )
    watched = Watched.of(page)
    page.goto(f"{server.url}/endpoints/delay?span=all&numbers=1")
    chart = page.locator("svg.brushable").first
    chart.scroll_into_view_if_needed()
    chart.hover()
    expect(page.locator(".readout").first).to_have_text(re.compile(r"^\d\d:\d\d:\d\d: \d+"))
    brush(page, chart, (0.4, 0.6), (0.3, 0.6), r"[?&]from=[-\dT:]+&to=[-\dT:]+#traffic")
    shown = page.locator('[aria-label="Table: Windows"] tbody tr')
    assert 1 < shown.count() < 10
    assert watched.errors == []
