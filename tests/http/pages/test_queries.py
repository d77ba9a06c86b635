"""What an address asks for: wrong is told with a way on, on every page of the table of routes, and nothing makes one fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from hostile import Hostile, fill
from penstock.http.app import build_server_app
from penstock.http.pages.queries import listed
from penstock.http.pages.routes import Page
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.tracking.entities import LoggedModel
from penstock.tracking.logged_models import READY, create_model
from projects import Sample
from tables import table

NUL, LONG, TURNED = "a\0b", "x" * 10_000, "invoice\u202efdp.exe"
ODD = (NUL, LONG, TURNED, "nope", "0", "-1", "²", "9" * 30, "' OR 1=1 --", "<script>alert(1)</script>")
ANYTHING = {"q", "subject", "kind", "reason", "comment"}
"""What may be any text: nothing is found where nothing is called so, and the page says that."""
TOLD = re.compile(
    r'role="(?:alert|status)"|class="problem|<h2>Nothing is called|already: there is nothing to do'
)


@pytest.fixture(scope="module")
def project(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sample = Sample.copy(released_root, tmp_path_factory.mktemp("queries") / "project")
    yield sample.project
    sample.project.close()


@pytest.fixture(scope="module")
def store(project: Project) -> Iterator[tuple[TestClient, Starlette, dict[str, str], Hostile]]:
    hostile = fill(project, run_count=30)
    app = build_server_app(project, ControllerLoop(project))
    places = {
        "/runs/{id}": f"/runs/{hostile.markup}",
        "/experiments/{id}": f"/experiments/{hostile.crowd}",
        "/logged-models/{id}": f"/logged-models/{hostile.logged_model}",
        "{name:path}": "delay",
        "{name}/{number}": "late/1",
        "/models/{name}": "/models/late",
        "{path:path}": "data/raw.csv",
        "{subject:path}": "late/1",
        "/compare/{name}.svg": "/compare/scatter.svg",
    }
    yield TestClient(app, raise_server_exceptions=False, follow_redirects=False), app, places, hostile


def pages_of(app: Starlette, places: dict[str, str]) -> Iterator[tuple[str, Page]]:
    """Yield an address of each page that is there, with its route."""
    mount = next(one for one in app.routes if isinstance(one, Mount) and not one.path)
    for route in mount.routes:
        if not isinstance(route, Page) or route.methods is None or "GET" not in route.methods:
            continue
        address = route.path
        for written, real in places.items():
            address = address.replace(written, real)
        if "{" not in address:  # a report of CI and the library are asked for by what only a run of CI makes
            yield address, route


def way_on(text: str) -> str:
    """Return where a page of errors leads."""
    found = re.search(r'<p><a href="([^"]+)">', text)
    assert found is not None
    return unescape(found[1])


def test_nothing_wrong_in_a_query_is_ignored_on_any_page_and_none_fails(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile],
) -> None:
    client, app, places, _ = store
    ignored, asked = [], 0
    for address, route in pages_of(app, places):
        for name in (*(one.name for one in route.takes), "rev"):
            for value in ODD if name != "rev" else ("nope", ""):
                asked += 1
                answer = client.get(address, params={name: value})
                told = (answer.status_code, address, name, value[:40])
                assert answer.status_code < 500, told
                assert "<script>alert" not in answer.text, told
                is_told = answer.status_code in {400, 404} or TOLD.search(answer.text)
                if (
                    not is_told
                    and name not in ANYTHING
                    and not (name in {"column", "runs"} and value == TURNED)
                ):
                    ignored.append(told)
    assert asked > 300
    assert ignored == []


def test_every_page_is_in_the_sweep_but_those_of_what_only_ci_makes(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile],
) -> None:
    client, app, places, hostile = store
    swept = {route.path for _, route in pages_of(app, places)}
    mount = next(one for one in app.routes if isinstance(one, Mount) and not one.path)
    every = {one.path for one in mount.routes if isinstance(one, Page)}
    assert every - swept == {"/ci/{commit}", "/static/vega-{build}.js", "/models/{name}/{number}/approve"}
    for address in ("/ci/x", "/static/vega-x.js"):
        assert client.get(address, params={"rev": "nope"}).status_code == 400
    runs = f"{hostile.long},{hostile.turned},{hostile.markup}"
    known = {"/compare/scatter.svg": {"runs": runs}, "/models/late/1/files": {"path": "MLmodel"}}
    for address, route in pages_of(app, places):
        status = client.get(address, params=known.get(address, {})).status_code
        nothing = route.path.endswith(("/raw", "/download", "/view", "/rollback", "/promote", ".svg"))
        assert status in ({200, 400, 403, 404} if nothing else {200, 303}), (address, status)


WRONG = [
    ("/pipeline?rev=nope", "'rev' means nothing to this page: it takes none"),
    ("/runs?ordr=metrics.loss+DESC", "it takes filter, order, column, page and group"),
    ("/events?before=abc", "'before' is a whole number from 1 on, not 'abc'"),
    ("/events?before=0", "'before' is a whole number from 1 on"),
    ("/runs?page=0", "'page' is no page of this list"),
    ("/runs?page=bm9wZQ==", "'page' is no page of this list"),
    ("/runs?order=start_time+DESC&order=start_time+ASC", "'order' stands there more than once"),
    ("/runs?column=loss", "'column' is metrics.NAME or params.NAME, not 'loss'"),
    ("/runs?group=metrics.loss", "'group' is params.NAME"),
    ("/runs?filter=" + "x" * 6001, "'filter' has 6,001 characters, of which at most 6,000 are read"),
    ("/runs?filter=a%00b", "'filter' holds a character that no name has"),
    ("/endpoints/delay?span=2h", "'span' is 15m, 1h, 6h, 24h, 7d or all, not '2h'"),
    ("/endpoints/delay?from=zzz", "'from' is a date or a time in UTC, not 'zzz'"),
    ("/endpoints/delay/drift?to=yesterday", "'to' is a date or a time in UTC, not 'yesterday'"),
    ("/endpoints/delay?from=2026-11-04&to=2026-11-03", "'to' is not after the beginning"),
    ("/runs?order=nope", "'order' is metrics.NAME, params.NAME, tags.NAME, start_time, end_time, status or run_name"),
    ("/endpoints/delay/drift?all=yes", "'all' is 1, not 'yes'"),
    ("/models/late?alias=champion", "'alias' needs a time beside it"),
    ("/data/data/raw.csv?old=nope", "'old' is no commit that changed it: 'nope'"),
    ("/data/data/raw.csv?new=", ""),
    ("/compare?smooth=0.5", "'smooth' is 0.6 or 0.9, not '0.5'"),
    (f"/runs/{3:032x}?group=nope", "'group' is no group of this run's metrics: 'nope'"),
    (f"/runs/{3:032x}?model=m-1", "'model' is no model that this run logged: 'm-1'"),
    (f"/compare?runs={1:032x},{2:032x}&chosen={9:032x}", "'chosen' names none of these runs"),
    (f"/compare?runs={1:032x},{2:032x},{3:032x}&y=metrics.nope", "'y' is nothing that these runs differ in"),
]  # fmt: skip


def test_what_is_wrong_is_said_and_the_link_beside_it_leads_to_the_page_without_it(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile],
) -> None:
    client = store[0]
    for address, words in WRONG:
        answer = client.get(address)
        if not words:
            assert answer.status_code == 200, address
            continue
        assert answer.status_code == 400, address
        assert words in unescape(answer.text), (address, answer.text)
        assert "{'" not in unescape(answer.text), address  # no set as Python prints it
        again = client.get(way_on(answer.text))
        assert again.status_code == 200, (address, way_on(answer.text))


def test_what_trackers_hang_on_an_address_is_passed_over_on_every_page(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile],
) -> None:
    client, app, places, _ = store
    hung = "utm_source=mail&utm_campaign=x&fbclid=1&gclid=2&msclkid=3&mc_eid=4&_hsenc=5&igshid=6&_gl=7&utm_source=twice"
    for address, _ in pages_of(app, places):
        assert client.get(f"{address}?{hung}").status_code == client.get(address).status_code, address
    ours = client.get("/runs?order=start_time+DESC&fbclid=1").text
    assert "fbclid" not in ours
    for name in ("utm", "click", "fbclid2", "my_utm_source"):
        assert client.get(f"/runs?{name}=1").status_code == 400, name


def test_a_model_that_a_run_made_and_did_not_link_is_found_by_its_address(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile], project: Project
) -> None:
    client, _, _, hostile = store
    lone = LoggedModel(
        id="m-" + "8" * 32, experiment_id=hostile.experiment, name="lone", status=READY, created_ms=1, updated_ms=1,
        source_run_id=hostile.markup,
    )  # fmt: skip
    with project.database.write() as connection:
        create_model(connection, lone)
    place = client.get(f"/logged-models/{lone.id}").headers["location"]
    assert place == f"/runs/{hostile.markup}?model={lone.id}#files"
    answer = client.get(place)
    assert (answer.status_code, "lone" in answer.text) == (200, True)
    assert client.get(place.replace(hostile.markup, hostile.long)).status_code == 400


def test_a_word_that_is_nearly_right_is_offered(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile],
) -> None:
    assert "<b>Try:</b> order=" in store[0].get("/runs?ordr=x").text


SHOWN = [
    ("/runs?order=metrics.nope+DESC", "No run here has the metric 'nope'", "/runs"),
    ("/runs?order=params.nope", "No run here has the param 'nope'", "/runs"),
    ("/runs?order=tags.nope", "No run here has the tag 'nope'", "/runs"),
    (
        "/runs?column=metrics.nope&column=params.gone",
        "No run here has the metric 'nope' and param 'gone'",
        "/runs",
    ),
    ("/runs?group=params.nope", "No run here has the param 'nope'", "/runs"),
    (
        "/runs?filter=nope+%3D+1",
        "Invalid attribute key 'nope' specified. Valid keys are Created, Run Name,",
        "/runs",
    ),
    ("/events?kind=nope", "No event is of this kind", "/events"),
    ("/models/late?at=soon", "'soon' is not a time", "/models/late"),
    (f"/runs/{3:032x}?path=nope", "No folder of these artifacts is called nope", f"/runs/{3:032x}#files"),
]


def test_what_is_unknown_is_said_on_the_page_with_a_way_on(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile],
) -> None:
    client = store[0]
    for address, words, link in SHOWN:
        answer = client.get(address)
        text = " ".join(unescape(re.sub(r"<[^>]+>", "", answer.text)).split())
        assert (answer.status_code, words in text) == (200, True), (address, text)
        assert f'{link}"' in answer.text, address
        assert client.get(link if link.startswith("/") else "/endpoints/delay").status_code == 200


@table(
    ("address", "link"),
    [
        ("/models/nope", "/models"), ("/models/late/9", "/models"), ("/runs/" + "f" * 32, "/runs"), ("/endpoints/nope", "/endpoints"),
        ("/data/nope", "/data"), ("/experiments/99", "/experiments"), ("/nope", "/"), ("/compare?runs=" + "f" * 32, "/"), ("/why/nope", "/"),
        ("/logged-models/m-nope", "/"), ("/compare/nope.svg?runs=" + "f" * 32, "/"), ("//evil.example/x?rev=1", "/"),
    ],
)  # fmt: skip
def test_an_address_of_nothing_leads_to_the_list_that_it_belongs_to(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile], address: str, link: str
) -> None:
    answer = store[0].get(address)
    assert answer.status_code == 404
    assert way_on(answer.text) == link
    assert store[0].get(link).status_code == 200


def test_paths_of_any_odd_text_make_no_page_fail(
    store: tuple[TestClient, Starlette, dict[str, str], Hostile],
) -> None:
    client, app, places, _ = store
    mount = next(one for one in app.routes if isinstance(one, Mount) and not one.path)
    for route in (one for one in mount.routes if isinstance(one, Page)):
        for value in ODD[:4]:
            address = re.sub(r"\{\w+(:path)?\}", quote(value, safe=""), route.path)
            assert client.get(address).status_code < 500, address[:100]
    names = {name for _, route in pages_of(app, places) for name in (one.name for one in route.takes)}
    query = urlencode([(name, value) for name in sorted(names) for value in ODD if value != LONG])
    for address, _ in pages_of(app, places):
        assert client.get(f"{address}?{query}").status_code == 400


def test_words_are_listed_as_a_sentence_has_them() -> None:
    assert listed([]) == ""
    assert listed(["a", "b", "c"], "or") == "a, b or c"
