"""The pages: they exist, they escape, and nothing odd in an address breaks them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import penstock
from penstock.base.store.events import list_events, record_event
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.windows import WindowView
from penstock.http.app import build_server_app
from penstock.http.hosts import host_name
from penstock.http.pages.drawing.charts import bar_chart, line_chart
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from projects import Sample
from tables import table

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
PAGES = (
    "/", "/endpoints", "/events", "/models", "/runs", "/experiments", "/experiments/0", "/compare", "/search", "/why",
)  # fmt: skip


def client_of(project: Project) -> TestClient:
    application = build_server_app(project, ControllerLoop(project))
    return TestClient(application, raise_server_exceptions=False, follow_redirects=False)


def add_window(project: Project, route: str, version: int, *, start_s: int, revision: int = 1) -> None:
    latency = LatencyHistogram()
    latency.update([0.01, 0.02, 0.5])
    window = Window(
        key=WindowKey("delay", start_s, revision, version, route),
        window_s=1,
        request_count=3,
        error_count=1,
        row_count=3,
        latency=latency,
    )
    with project.database.write() as connection:
        add_partials(connection, [Partial(window=window, worker=1, sequence=start_s)])


@pytest.fixture(scope="module")
def released(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """A project with one model version that is served, and some traffic."""
    sample = Sample.copy(released_root, tmp_path_factory.mktemp("pages") / "project")
    now = int(time.time())
    for index in range(6):
        add_window(sample.project, "stable", 1, start_s=now - 60 + index)
        add_window(sample.project, "canary", 1, start_s=now - 60 + index)
    yield sample
    sample.project.close()


@pytest.fixture(scope="module")
def client(released: Sample) -> TestClient:
    return client_of(released.project)


class Outline(HTMLParser):
    """Collects what matters of a page: tags, addresses, inline code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            self.links.append(values.get("href") or "")
        if tag in {"script", "img", "link"}:
            self.loads.append(values.get("src") or values.get("href") or "")
        self.inline += [name for name in values if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.inline.append(tag)


@table("address", PAGES)
def test_pages_exist_for_an_empty_store(sample: Sample, address: str) -> None:
    answer = client_of(sample.project).get(address)
    assert answer.status_code == 200, answer.text
    assert "penstock" in answer.text.lower()


@table(
    "address",
    [
        *PAGES,
        "/endpoints/delay",
        "/models/late",
        "/models/late/1",
        "/lineage/late/1",
        "/lineage/data/raw.csv",
    ],
)
def test_a_page_is_protected_and_loads_nothing_from_elsewhere(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    outline = Outline(answer.text)
    assert outline.inline == []
    assert all(
        one.startswith("/") and not one.startswith("//")
        for one in outline.loads + outline.links
        if not one.startswith(("#", "?"))
    )


def test_every_link_of_the_pages_leads_somewhere(client: TestClient) -> None:
    seen: set[str] = set()
    waiting = ["/", "/models", "/runs", "/endpoints"]
    while waiting:
        address = waiting.pop().partition("#")[0]
        if not address or address in seen or address.startswith("?"):
            continue
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.text)
        if "html" in answer.headers["content-type"]:
            outline = Outline(answer.text)
            waiting += outline.links + outline.loads
    assert {"/endpoints/delay", "/models/late/1", "/static/penstock.css"} <= seen
    assert any(one.startswith("/why/") for one in seen)


def test_the_overview_says_what_is_served_and_how_it_is(client: TestClient) -> None:
    text = client.get("/").text
    for word in (
        "delay",
        "late/1",
        "stable",
        "100 %",
        "no serve process runs",
        "deployed",
        "person:ada",
    ):
        assert word in text
    assert re.search(r'class="state bad".*</span> down', text)


def test_an_endpoint_shows_both_routes_over_time_with_axes(client: TestClient) -> None:
    text = client.get("/endpoints/delay").text
    assert text.count('<svg viewBox="0 0 420 200"') >= 3
    assert 'class="series stable"' in text
    assert 'class="series canary"' in text
    assert "milliseconds" in text
    assert re.search(
        r'class="tick [a-z]+" x="[\d.]+" y="192" data-ms="\d+" data-form="HMS">\d\d:\d\d:\d\d<', text
    )


def test_a_version_shows_its_verdict_and_its_chain(client: TestClient, released: Sample) -> None:
    text = client.get("/models/late/1").text
    for word in (
        "champion",
        "passed",
        "roc_auc",
        "verdict",
        "data/raw.csv",
        released.git.resolve("HEAD")[:10],
    ):
        assert word in text


def test_the_search_box_leads_to_the_chain(client: TestClient) -> None:
    answer = client.get("/why", params={"subject": " data/raw.csv "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/why/data/raw.csv")
    hostile = client.get("/why", params={"subject": "//evil.example/\r\nX: 1"})
    assert hostile.headers["location"].startswith("/why/")
    assert "\n" not in hostile.headers["location"]


@pytest.mark.parametrize(
    "address", ["/lineage/nonsense", "/models/late/9", "/models/late/x", "/endpoints/none"]
)
def test_what_is_unknown_is_told_with_the_next_step(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert "<b>Try:</b>" in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_programs_get_errors_as_json_and_people_as_pages(client: TestClient) -> None:
    assert client.get("/api/penstock/v1/lineage/nonsense").json()["code"] == "chain.no_subject"
    assert client.get("/api/none").json()["code"] == "http.404"
    assert client.post("/").headers["content-type"].startswith("text/html")
    assert "no page at this address" in client.get("/none").text


def test_hostile_text_is_escaped_everywhere(sample: Sample) -> None:
    project = sample.project
    reproduce_and_record(project)
    run_gate(project)
    register_model(project)
    apply_promotion(project, plan_promotion(project, "late/1"))
    deployed = apply_deployment(
        project, replace(plan_deployment(project, "delay", "late/1"), endpoint=HOSTILE)
    )
    name = quote(deployed.endpoint, safe="")
    with project.database.write() as connection:
        record_event(
            connection,
            f"x.{HOSTILE}",
            f"endpoint:{deployed.endpoint}",
            HOSTILE,
            HOSTILE,
            cause={
                HOSTILE: {HOSTILE: [HOSTILE, {"a": HOSTILE}]},
                "findings": [{"sentence": HOSTILE, "breached": True, "kind": HOSTILE}, {}, 7],
                "known": [{"sentence": HOSTILE, "breached": True, "kind": HOSTILE, "route": HOSTILE}],
                "start_s": 10**18,
            },
        )
    client = client_of(project)
    for address, status in (
        ("/", 200),
        (f"/endpoints/{name}", 200),
        (f"/lineage/{name}", 200),
        ("/models/late/1", 200),
        (f"/endpoints/{name}none", 404),
        (f"/lineage/{name}none", 404),
        (f"/{name}", 404),
    ):
        assert client.get(address).status_code == status
        text = client.get(address).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert Outline(text).inline == []
    with project.database.read() as connection:
        assert list_events(connection)[-1].summary == HOSTILE
    assert "&lt;script&gt;" in client.get(f"/endpoints/{name}").text


ODD = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "late/",
            "late/²",
            "late/٣",
            "late/" + "9" * 5000,
            "late/99999999999",
            "a@b@c",
            "@",
            "/",
            "..",
            "../..",
            "%00",
            "-x",
            "HEAD",
            "HEAD~1:data",
            "HEAD^{tree}",
            ":/x",
            "0" * 31,
            "Z" * 31,
            "late@\x00",
            "\ud83d\ude00",
            "./data/raw.csv.dvc",
            "a" * 9999,
        ]
    ),
    st.from_regex(r"[0-9A-Z]{31}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{4,40}", fullmatch=True),
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(subject=ODD)
def test_no_subject_makes_the_server_fail(client: TestClient, subject: str) -> None:
    encoded = quote(subject.encode("utf-8", "surrogatepass"), safe="")
    for prefix in ("/lineage/", "/api/penstock/v1/lineage/", "/endpoints/", "/models/late/", "/models/"):
        assert client.get(prefix + encoded).status_code < 500, (prefix, subject)
    assert client.get("/why", params={"subject": subject.encode("utf-8", "replace")}).status_code < 500


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "localhost.evil"]
)
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    for address in ("/", "/api/penstock/v1/events", "/health", "/static/penstock.css"):
        answer = client.get(address, headers={"host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "http.foreign_host")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:5000", "127.0.0.1:1", "[::1]:5000", "testserver", "models.intern:80"]
)
def test_our_own_names_are_let_through(released: Sample, host: str) -> None:
    application = build_server_app(
        released.project, ControllerLoop(released.project), allowed_hosts=("models.intern",)
    )
    assert TestClient(application).get("/health", headers={"host": host}).status_code == 200


@given(st.text())
def test_any_host_header_can_be_read(text: str) -> None:
    assert isinstance(host_name(text), str)


numbers = st.one_of(
    st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 1e-9), st.floats(0, 1e9)
)


@given(
    values=st.lists(numbers, max_size=30),
    routes=st.lists(st.sampled_from(["stable", "canary", "direct"]), min_size=30, max_size=30),
)
def test_a_chart_keeps_every_mark_inside_its_frame(values: list[float | None], routes: list[str]) -> None:
    windows: list[Any] = [_window(index // 2, route) for index, route in enumerate(routes[: len(values)])]
    told = {id(window): value for window, value in zip(windows, values, strict=True)}

    def value_of(window: Any) -> float | None:
        value = told.get(id(window))
        return None if value is None or abs(value) > 1e12 else value

    def size_of(window: Any) -> float | None:
        value = value_of(window)
        return None if value is None else abs(value)

    for make, value in ((bar_chart, size_of), (line_chart, value_of)):
        chart = make("t", "u", windows, value)
        if chart is None:
            continue
        for series in chart.series:
            for mark in (*series.bars, *series.dots):
                assert chart.top - 1 <= mark.y <= chart.base + 1
                assert chart.left - 1 <= mark.x <= chart.right + 1
                assert mark.height >= 0
        assert 2 <= len(chart.y_ticks) <= 12


def _window(start_s: int, route: str) -> Any:
    return WindowView(
        start_s=start_s,
        end_s=start_s + 1,
        revision=1,
        version=1,
        route=route,
        request_count=1,
        error_count=0,
        error_ratio=0.0,
        row_count=1,
        p50_ms=1.0,
        p99_ms=1.0,
        label_count=0,
        nonfinite_row_count=0,
        quality={},
    )


def test_templates_and_static_files_are_part_of_the_package() -> None:
    package = Path(penstock.__file__).parent / "http"
    assert all(path.is_file() for name in ("templates", "static") for path in (package / name).iterdir())
