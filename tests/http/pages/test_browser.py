"""Pages as a browser shows them: on hostile data, in place, honest about a server that is gone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect

from hostile import Hostile, fill
from penstock.access.users import add_user
from penstock.base.store.events import record_event
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.tracking.entities import Run
from penstock.tracking.runs import create_run, update_run
from projects import Sample
from servers.browser import PageServer, Watched, chromium

pytestmark = pytest.mark.slow
PASSWORD = "three blind mice run"
SHOTS = os.environ.get("PENSTOCK_SCREENSHOTS")
"""Where the pictures of every page go, for who looks at them; none are made without it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def project(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sample = Sample.copy(released_root, tmp_path_factory.mktemp("browser") / "project")
    yield sample.project
    sample.project.close()


@pytest.fixture(scope="module")
def hostile(project: Project) -> Hostile:
    return fill(project, run_count=300)


@pytest.fixture(scope="module")
def server(project: Project, hostile: Hostile) -> Iterator[PageServer]:
    started = PageServer(build_server_app(project, ControllerLoop(project)))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1200}, timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.clock.install()
    yield page
    context.close()


def addresses(hostile: Hostile) -> list[str]:
    return [
        "/", "/endpoints", "/endpoints/delay", "/events", "/models", "/models/late", "/models/late/1", "/runs",
        "/experiments", f"/experiments/{hostile.experiment}", f"/experiments/{hostile.crowd}",
        *(f"/runs/{run_id}" for run_id in (hostile.long, hostile.markup, hostile.endless, hostile.many, hostile.child)),
        f"/compare?runs={hostile.long},{hostile.turned},{hostile.markup}", "/search?q=run-", "/why/late/1",
        "/why/data/raw.csv", "/data", "/data/data/raw.csv", "/pipeline", "/models/late/1/card", "/models/late/1/promote",
        "/models/late?at=2026-11-03", "/endpoints/delay/drift", f"/experiments/{hostile.crowd}?group=params.depth",
        f"/experiments/{hostile.experiment}?group=params.path", "/models/late/1/files?path=MLmodel",
    ]  # fmt: skip


WAYS = [(1440, "light"), (390, "dark"), *([(1440, "dark"), (390, "light")] if SHOTS else [])]
FRAMES = 60
"""So many frames drawings have to follow a window."""


def test_every_page_fits_its_window_and_nothing_serious_stands_in_the_way_of_anybody(
    browser: Browser, server: PageServer, hostile: Hostile
) -> None:
    """Each page is opened once, then made narrow and dark: fits, readable, no error, no foreign request, axe content."""
    script = next(Path(axe_playwright_python.__file__).parent.glob("axe*.js")).read_text(encoding="utf-8")
    context = browser.new_context()
    watched = Watched.of(context.new_page())
    page, wrong, again = watched.page, [], alike(hostile)
    for address in addresses(hostile):
        page.set_viewport_size({"width": 1440, "height": 900})
        page.emulate_media(color_scheme="light")
        page.goto(server.url + address)
        text = page.inner_text("body")
        if "\u202e" in text or "e+308" in text:
            wrong.append(f"{address} shows what nobody can read")
        if page.evaluate("[...document.querySelectorAll('pre, .scroll')].some((one) => one.tabIndex < 0)"):
            wrong.append(f"{address} has a box that the keyboard cannot scroll")
        if "Parallel coordinates" in text:
            expect(page.locator("#parallel .drawn svg")).to_be_visible()
        if address not in again:
            page.evaluate(script)
        for width, scheme in WAYS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            wrong += [f"{address} is {one}" for one in too_wide(page, width)]
            if address not in again:
                options = {} if (width, scheme) == WAYS[0] else {"runOnly": ["color-contrast"]}
                wrong += [f"{address}, {scheme}: {one}" for one in barriers(page, options)]
            if SHOTS:
                name = re.sub(r"\W+", "-", address).strip("-")[:60] or "overview"
                Path(SHOTS).mkdir(parents=True, exist_ok=True)
                page.screenshot(path=Path(SHOTS) / f"{name}-{width}-{scheme}.png", full_page=True)
    context.close()
    assert wrong == []
    assert watched.errors == []
    assert [one for one in watched.requests if not one.startswith(server.url)] == []


def alike(hostile: Hostile) -> set[str]:
    """Return pages that another one is like but for how much is on them: axe takes seconds for hundreds of rows."""
    return {
        "/runs", "/models/late?at=2026-11-03", f"/experiments/{hostile.crowd}", f"/experiments/{hostile.experiment}?group=params.path",
        *(f"/runs/{run_id}" for run_id in (hostile.long, hostile.endless, hostile.many, hostile.child)),
    }  # fmt: skip


def too_wide(page: Page, width: int) -> list[str]:
    """Say how wide a page is that does not fit, once its drawings have followed the window."""
    shown = 0
    for _ in range(FRAMES):
        shown = page.evaluate("document.documentElement.scrollWidth")
        if shown <= width:
            return []
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return [f"{shown} wide, and the window {width}"]


def barriers(page: Page, options: dict[str, list[str]]) -> list[str]:
    """Return what axe finds serious or critical."""
    found = page.evaluate("(options) => axe.run(options).then((found) => found.violations)", options)
    return [
        f"{one['id']} {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


def test_a_refresh_keeps_what_somebody_opened_chose_typed_and_scrolled(
    page: Page, server: PageServer, project: Project
) -> None:
    page.set_viewport_size({"width": 1000, "height": 300})
    page.goto(f"{server.url}/events")
    expect(page.locator("#stamp")).to_have_text("● live")
    detail = page.locator(".timeline details").last
    detail.locator("summary").click()
    page.locator("#words").fill("half typed")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    page.evaluate("scrollTo(0, 40)")
    with project.database.write() as connection:
        record_event(connection, "endpoint.deployed", "endpoint:delay", "person:ada", "something quite new")
    page.clock.fast_forward(6000)
    expect(page.get_by_text("something quite new", exact=True)).to_be_visible()
    assert detail.evaluate("(one) => one.open")
    assert page.evaluate("document.activeElement.id") == "words"
    assert page.input_value("#words") == "half typed"
    assert page.evaluate("String(getSelection())") == "Events"
    assert page.evaluate("scrollY") == 40


OPEN_ALL = """() => {
  const main = document.getElementById("main");
  for (const one of main.querySelectorAll("details")) one.open = true;
  main.querySelector("a, button, input")?.focus();
  getSelection().selectAllChildren(main.querySelector("h1"));
  scrollTo(0, 40);
  window.kept = {
    details: [...main.querySelectorAll("details")], focused: document.activeElement, chosen: String(getSelection()), y: scrollY,
  };
  main.append("what no answer has");
}"""
LOST = """() => [
  ...kept.details.filter((one) => !one.isConnected || !one.open).map((one) => `closed: ${one.textContent.slice(0, 60)}`),
  ...(document.activeElement === kept.focused ? [] : [`focus: ${kept.focused.outerHTML.slice(0, 80)}`]),
  ...(String(getSelection()) === kept.chosen ? [] : [`selection: ${kept.chosen}`]),
  ...(scrollY === kept.y ? [] : [`scroll: ${kept.y}, now ${scrollY}`]),
]"""


def test_a_refresh_of_any_live_page_takes_nothing_away_from_who_reads_it(
    page: Page, server: PageServer, hostile: Hostile
) -> None:
    page.set_viewport_size({"width": 1000, "height": 300})
    live = 0
    for address in addresses(hostile):
        page.goto(f"{server.url}{address}")
        if page.locator("#stamp").get_attribute("data-every") is None:
            continue
        live += 1
        expect(page.locator("#stamp")).to_have_text("● live")
        page.evaluate(OPEN_ALL)
        page.clock.fast_forward(31_000)
        expect(page.get_by_text("what no answer has")).to_have_count(0)
        assert page.evaluate(LOST) == [], address
    assert live >= 12


def test_a_server_that_is_gone_is_told_in_words_and_one_that_is_back_too(
    page: Page, project: Project
) -> None:
    server = PageServer(build_server_app(project, ControllerLoop(project)))
    server.start()
    page.goto(server.url)
    expect(page.locator("#stamp")).to_have_text("● live")
    server.stop()
    page.clock.fast_forward(6000)
    expect(page.locator("#stamp")).to_contain_text(re.compile(r"no answer since \d\d:\d\d:\d\d"))
    server.start()
    page.clock.fast_forward(6000)
    expect(page.locator("#stamp")).to_have_text("● live")
    page.locator("#stamp").click()
    expect(page.locator("#stamp")).to_contain_text("paused")
    server.stop()


def test_a_store_that_is_away_and_a_session_that_is_over_are_told_beside_what_is_shown(
    page: Page, project: Project
) -> None:
    with project.database.write() as connection:
        add_user(connection, "ada", "admin", PASSWORD, "test")
    server = PageServer(build_server_app(project, ControllerLoop(project), asks_for_credentials=True))
    server.start()

    def sign_in() -> None:
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password or token").fill(PASSWORD)
        page.locator("main").get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{server.url}/events")

    page.goto(f"{server.url}/events")
    sign_in()
    stamp = page.locator("#stamp")
    expect(stamp).to_have_text("● live")
    place = Path(str(project.database.engine.url.database))
    place.rename(place.with_suffix(".away"))
    page.clock.fast_forward(6000)
    expect(stamp).to_contain_text(re.compile(r"nothing can be told since \d\d:\d\d:\d\d"))
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    place.with_suffix(".away").rename(place)
    page.clock.fast_forward(6000)
    expect(stamp).to_have_text("● live")
    page.context.clear_cookies()
    page.clock.fast_forward(6000)
    expect(stamp).to_contain_text("signed out since")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    stamp.click()
    page.wait_for_url(f"{server.url}/sign-in?next=%2Fevents")
    sign_in()
    server.stop()


def test_a_hidden_or_paused_page_asks_nothing(page: Page, server: PageServer) -> None:
    watched = Watched.of(page)
    page.goto(server.url)
    expect(page.locator("#stamp")).to_have_text("● live")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    before = len(watched.requests)
    page.clock.run_for(60_000)
    assert len(watched.requests) == before
    with page.expect_request(f"{server.url}/"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")


def test_a_run_that_goes_on_refreshes_and_one_that_ended_says_as_of_when(
    page: Page, server: PageServer, project: Project
) -> None:
    run_id = "f" * 32
    with project.database.write() as connection:
        create_run(
            connection, Run(id=run_id, experiment="going", name="going on", status="RUNNING", start_ms=1)
        )
    page.goto(f"{server.url}/runs/{run_id}")
    expect(page.locator("#stamp")).to_have_text("● live")
    expect(page.get_by_text("It runs.")).to_be_visible()
    with project.database.write() as connection:
        update_run(connection, run_id, status="FINISHED", end_ms=312_001)
    page.clock.fast_forward(6000)
    expect(page.get_by_text("It finished after 5 min 12 s.")).to_be_visible()
    page.reload()
    expect(page.locator("#stamp")).to_contain_text("as of")


def test_times_are_told_in_the_zone_of_the_reader(page: Page, server: PageServer, hostile: Hostile) -> None:
    page.goto(f"{server.url}/runs/{hostile.long}")
    time = page.locator("dd time").first
    expect(time).to_have_text("2023-11-15 03:43:20")
    assert "GMT+5:30" in (time.get_attribute("title") or "")


def test_addresses_of_mlflow_lead_to_ours(page: Page, server: PageServer, hostile: Hostile) -> None:
    for theirs, ours in (
        (f"#/experiments/{hostile.experiment}/runs/{hostile.long}", f"/runs/{hostile.long}"),
        (f"#/experiments/{hostile.experiment}", f"/experiments/{hostile.experiment}"),
        ("#/models/late/versions/1", "/models/late/1"),
        ("#/models/late", "/models/late"),
        (
            f'#/compare-runs?runs=["{hostile.long}","{hostile.turned}"]&experiments=["1"]',
            f"/compare?runs={hostile.long},{hostile.turned}",
        ),
    ):
        page.goto(f"{server.url}/{theirs}")
        page.wait_for_url(server.url + ours)


def test_a_slash_leads_to_the_search_and_the_keyboard_is_enough(page: Page, server: PageServer) -> None:
    page.goto(server.url)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "subject"
    page.keyboard.type("late@champion")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server.url}/models/late/1")


def test_two_runs_are_chosen_and_compared_by_clicking(
    page: Page, server: PageServer, hostile: Hostile
) -> None:
    page.goto(f"{server.url}/experiments/{hostile.crowd}")
    page.locator("tbody input[type=checkbox]").nth(0).check()
    page.locator("tbody input[type=checkbox]").nth(1).check()
    page.get_by_role("button", name="Compare chosen runs").click()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    expect(page.locator(".answer")).to_contain_text("2 runs differ in")


def click(page: Page, role: Literal["link", "button"], name: str) -> None:
    page.get_by_role(role, name=name).click()


def reach(page: Page, role: Literal["link", "button"], name: str) -> None:
    """Go to something by the tabulator alone, and press Enter on it."""
    wanted = page.get_by_role(role, name=name)
    expect(wanted).to_be_visible()
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("(one) => one === document.activeElement"):
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"the keyboard does not reach {name!r}")


def test_a_version_is_promoted_and_an_endpoint_rolled_back_by_clicking(
    browser: Browser, two_versions_root: Path, tmp_path: Path
) -> None:
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/1"))
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/2", canary=20.0))
    server = PageServer(build_server_app(sample.project, ControllerLoop(sample.project)))
    server.start()
    for is_scripted in (True, False):
        context = browser.new_context(java_script_enabled=is_scripted)
        page = context.new_page()
        number = 2 if is_scripted else 1
        page.goto(f"{server.url}/models/late/{number}")
        (reach if is_scripted else click)(page, "link", "Make it champion …")
        expect(page.get_by_role("heading", name=f"Make late/{number} champion?")).to_be_visible()
        page.get_by_label("Why, for the record").fill("seen by a person")
        (reach if is_scripted else click)(page, "button", f"Make late/{number} champion")
        page.wait_for_url(f"{server.url}/models/late/{number}")
        expect(page.locator(".page-head .chip.alias")).to_have_text("champion")
        context.close()
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server.url}/endpoints/delay")
    expect(page.get_by_role("link", name="Promote the canary …")).to_be_visible()
    page.get_by_role("link", name="Roll back …").click()
    expect(page.get_by_text("late/2 counts as rolled back")).to_be_visible()
    page.get_by_role("button", name="Roll delay back to late/1").click()
    page.wait_for_url(f"{server.url}/endpoints/delay")
    expect(page.get_by_role("table").filter(has_text="reason").locator("tr.current")).to_contain_text(
        "rolled back"
    )
    context.close()
    server.stop()
    sample.close()
