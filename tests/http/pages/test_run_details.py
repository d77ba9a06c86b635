"""Details of runs that are easily left out: values that are no numbers, counts of rows, files without text, names that nobody sees."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from html import unescape

import pytest
from starlette.testclient import TestClient

from penstock.http.app import build_server_app
from penstock.http.pages.drawing.histories import history_chart
from penstock.http.pages.runs.compare_views import overlay
from penstock.http.pages.telling.fragments import name
from penstock.processes.controller import ControllerLoop
from penstock.project.opening import open_server_project
from penstock.project.project import Project
from penstock.tracking.entities import Run
from penstock.tracking.runs import create_run

NAN, BLANK, OTHER, PARENT = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)
FILES = {
    "many.csv": b"name,value\n" + b"".join(b"row%d,%d\n" % (at, at) for at in range(500)),
    "blank.csv": b"name,value\n\na,1\n\n",
    "large.csv": b"name,value\n" + b"x,1\n" * 100_000,
    "many.jsonl": b'{"a": 1}\n' * 450,
    "empty.txt": b"",
    "spaces.txt": b" \n\n\t\n",
    "empty.csv": b"",
    "empty.md": b"",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    project: Project = open_server_project(tmp_path_factory.mktemp("details"), {})
    with project.database.write() as connection:
        for number, (run_id, called) in enumerate(
            ((NAN, "ends"), (PARENT, "\u00a0"), (BLANK, " "), (OTHER, "\u200b"))
        ):
            tags = {"mlflow.parentRunId": PARENT} if run_id == BLANK else {}
            run = Run(
                id=run_id,
                experiment="x",
                name=called,
                status="FINISHED",
                start_ms=number,
                end_ms=9,
                params={"depth": str(number)},
                tags=tags,
            )
            create_run(connection, run)
    client = TestClient(build_server_app(project, ControllerLoop(project)), raise_server_exceptions=False)
    points = [
        {
            "key": "loss",
            "value": 1 / (1 + step) if step < 30 else "NaN",
            "timestamp": 1000 + step,
            "step": step,
        }
        for step in range(40)
    ]
    for run_id in (NAN, OTHER):
        body = {"run_id": run_id, "metrics": points}
        assert client.post("/api/2.0/mlflow/runs/log-batch", json=body).status_code == 200
    root = client.get(f"/api/2.0/mlflow/runs/get?run_id={NAN}").json()["run"]["info"]["artifact_uri"]
    for path, data in FILES.items():
        address = f"/api/2.0/mlflow-artifacts/artifacts/{root.removeprefix('mlflow-artifacts:/')}/{path}"
        assert client.put(address, content=data).status_code == 200, path
    yield client
    project.close()


def main_of(client: TestClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.text[:500])
    return str(answer.text.partition('<main id="main">')[2].partition("</main>")[0])


def words_of(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_a_curve_that_ends_in_nan_says_where(client: TestClient) -> None:
    page = main_of(client, f"/runs/{NAN}")
    figure = page.partition('<figure class="chart"')[2].partition("</figure>")[0]
    assert "NaN since step 30" in words_of(figure.partition("<svg")[0])
    assert 'class="mark"' in figure
    assert "NaN since step 30" in figure.partition('aria-label="')[2].partition('"')[0]
    ends = [
        float(one.rpartition(" ")[2].partition(",")[0]) for one in re.findall(r'points="([^"]+)"', figure)
    ]
    (mark,) = (float(one) for one in re.findall(r'class="mark" x1="([^"]+)"', figure))
    assert max(ends) < mark
    compared = main_of(client, f"/compare?runs={NAN},{OTHER}")
    assert compared.count('class="mark"') >= 1
    assert "NaN" in compared.partition('<figure class="chart"')[2].partition("</figure>")[0]


def test_a_gap_of_a_curve_is_a_gap_and_each_is_marked() -> None:
    points = [(0, 1.0), (1, 2.0), (2, math.nan), (3, 3.0), (4, 4.0), (5, math.inf), (6, 5.0), (7, 6.0)]
    chart = history_chart("loss", points)
    assert chart is not None
    assert len(chart.series[0].lines) == 3
    assert [one.text for one in chart.marks] == ["NaN", "∞"]
    assert chart.newest == ()
    assert chart.summary.endswith("NaN at step 2, ∞ at step 5")
    whole = history_chart("loss", [(0, 1.0), (10, 0.5)])
    assert whole is not None
    assert (whole.marks, whole.newest) == ((), ())
    over = overlay("loss", {0: points, 1: [(0, 1.0), (9, 1.0)]}, "by step")
    assert over is not None
    assert len(over.marks) == 2
    assert [len(one.lines) for one in over.series] == [3, 1]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("many.csv", "500 rows × 2 columns"),
        ("blank.csv", "1 row × 2 columns"),
        ("many.jsonl", "450 rows × 1 column"),
        ("large.csv", "more than 200 rows × 2 columns"),
    ],
)
def test_a_table_says_how_many_rows_it_has(client: TestClient, path: str, words: str) -> None:
    assert words in words_of(main_of(client, f"/runs/{NAN}/view?path={path}"))


@pytest.mark.parametrize("path", ["empty.txt", "empty.csv", "empty.md"])
def test_a_file_without_a_byte_says_that_it_is_empty(client: TestClient, path: str) -> None:
    page = main_of(client, f"/runs/{NAN}/view?path={path}")
    assert "It is empty" in words_of(page)
    assert "<pre" not in page


def test_a_file_of_blanks_says_so(client: TestClient) -> None:
    assert "only of blanks" in words_of(main_of(client, f"/runs/{NAN}/view?path=spaces.txt"))


@pytest.mark.parametrize("run_id", [BLANK, PARENT])
def test_a_run_whose_name_shows_nothing_is_called_by_its_id(client: TestClient, run_id: str) -> None:
    addresses = ("/runs", "/experiments/1", f"/runs/{run_id}", f"/compare?runs={NAN},{run_id}")
    for address in addresses:
        page = main_of(client, address)
        links = re.findall(rf'<a [^>]*href="/runs/{run_id}"[^>]*>(.*?)</a>', page)
        assert all(words_of(one) for one in links), (address, links)
        assert any(run_id[:8] in one for one in links) or address == f"/runs/{run_id}", (address, links)
    assert run_id[:8] in words_of(
        main_of(client, f"/runs/{run_id}").partition("<h1>")[2].partition("</h1>")[0]
    )
    assert f'aria-label="Compare {run_id[:8]}' in main_of(client, "/runs")


def test_a_run_names_its_blank_parent_and_child_by_their_ids(client: TestClient) -> None:
    for address, run_id in ((f"/runs/{BLANK}", PARENT), (f"/runs/{PARENT}", BLANK)):
        (link,) = re.findall(rf'<a href="/runs/{run_id}">(.*?)</a>', main_of(client, address))
        assert run_id[:8] in words_of(link), address


def test_any_other_name_that_shows_nothing_can_be_seen() -> None:
    assert words_of(name(" ")) == "“ ”"
    assert words_of(name("\u200b")) == "⟨U+200B⟩"
