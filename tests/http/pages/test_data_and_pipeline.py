"""The pages of tracked data and pipelines: history, what differs, where used; what is stale and why; CI runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from penstock.ci.report import CheckReport, CiReport, StepReport
from penstock.flows.tracked.catalogue import Tracked
from penstock.http.app import build_server_app
from penstock.http.pages import pipeline_views
from penstock.http.pages.data_views import answer_of
from penstock.processes.controller import ControllerLoop
from penstock.project.ci_reports import save_report
from penstock.project.opening import open_server_project
from projects import Sample, rows

HOSTILE = "<script>alert(1)</script>|`x`"


@pytest.fixture(scope="module")
def sample(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """`late/1` is made; then raw.csv has more wind, two tables in a directory came, and nothing was made of it."""
    sample = Sample.copy(released_root, tmp_path_factory.mktemp("data-pages") / "project")
    for name, text in (
        ("flights-1.csv", rows(300)),
        ("weather-1.csv", "wind,rain\n1,2\n3,4\n"),
        ("notes.txt", "x"),
    ):
        path = sample.root / "data/many" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    sample.add("data/many")
    sample.write("data/raw.csv", rows(1300, 1, wind_unit=3.0))
    sample.add("data/raw.csv")
    sample.commit(f"More wind {HOSTILE}")
    (sample.root / "data/many/flights-2.csv").write_text(rows(300, 2))
    (sample.root / "data/many/notes.txt").unlink()
    sample.add("data/many")
    sample.commit("Another month")
    yield sample
    sample.close()


@pytest.fixture(scope="module")
def client(sample: Sample) -> TestClient:
    return TestClient(
        build_server_app(sample.project, ControllerLoop(sample.project)), follow_redirects=False
    )


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def test_all_that_is_tracked_is_listed_with_size_change_and_use(client: TestClient) -> None:
    text = client.get("/data").text
    assert "<script>alert" not in text
    rows_ = {one.split('"')[0]: words_of(one.split("</tr>")[0]) for one in text.split('data-key="')[1:]}
    assert set(rows_) >= {"data/raw.csv", "data/many", "data/train.csv", "data/test.csv", "models/late"}
    assert "Ada" in rows_["data/raw.csv"]
    assert "More wind" in rows_["data/raw.csv"]
    assert "dvc.yaml:train" in rows_["models/late"]
    assert " – dvc.yaml:" in rows_["data/test.csv"]
    assert re.search(r"kB 3 2 ", rows_["data/many"]), rows_["data/many"]  # three files, two versions


def test_a_path_shows_its_history_and_what_used_each_content(client: TestClient) -> None:
    text = client.get("/data/data/raw.csv").text
    words = words_of(text)
    assert "in 2 versions so far. 1 run used it, and late/1 came of it." in words
    history = text.split('id="history"')[1].split("<tr ")
    assert "Begin" in history[2]
    assert "late/1" in history[2]
    assert "late/1" not in history[1]
    made = words_of(client.get("/data/data/test.csv").text)
    assert "It is made by dvc.yaml:split, and runs record the data that they begin from" in made
    assert "no run used it yet" not in made
    assert "<script>alert" not in text
    assert client.get("/data/none").status_code == 404
    assert client.get("/data/data/raw.csv?old=zz&new=HEAD").status_code == 400
    assert client.get("/data/data/raw.csv?old=../../x&new=").status_code == 400


def test_two_contents_are_compared_by_files_and_as_tables(client: TestClient, sample: Sample) -> None:
    commits = sample.git.run("log", "--format=%H").split()
    words = words_of(client.get(f"/data/data/raw.csv?old={commits[-1]}&new={commits[1]}").text)
    assert "1 file differs" in words
    assert "data/raw.csv modified" in words
    assert "1,200 rows before and 1,300 after" in words
    assert re.search(r"wind ▲ drifted", words)
    many = client.get(f"/data/data/many?old={commits[1][:8]}&new={commits[0][:8]}")
    told = words_of(many.text)
    assert "2 files differ" in told
    assert "data/many/flights-2.csv added" in told
    assert "data/many/notes.txt deleted" in told
    assert "flights-….csv as a table, 300 rows before and 600 after" in told
    assert "weather-….csv as a table, 2 rows before and 2 after" in told
    assert 'class="before"' in many.text


def test_what_the_cache_has_not_is_told_with_the_command_that_brings_it(
    client: TestClient, sample: Sample
) -> None:
    commits = sample.git.run("log", "--format=%H").split()
    address = f"/data/data/raw.csv?old={commits[-1]}&new={commits[1]}"
    pointer = sample.git.run("show", f"{commits[-1]}:data/raw.csv.dvc")
    md5 = re.findall(r"md5: ([0-9a-f]{32})", pointer)[-1]
    place = Path(sample.project.data.cache.path(md5))
    hidden = place.rename(place.with_suffix(".hidden"))
    try:
        assert "penstock fetch --all-commits data/raw.csv" in client.get(address).text
    finally:
        hidden.rename(place)


def test_what_is_stale_is_told_with_its_reason_and_what_waits_for_it(
    client: TestClient, sample: Sample
) -> None:
    text = client.get("/pipeline").text
    words = words_of(text)
    assert "split is stale: data/raw.csv modified; train would run after it." in words
    assert 'class="box warn"' in text
    assert 'class="box waits"' in text
    assert "penstock repro" in words
    assert re.search(r"took last", words)
    assert "/data/data/raw.csv" in text
    for path in re.findall(r'href="(/data/[^"]+)"', text):
        assert client.get(path).status_code == 200, path
    for run in re.findall(r'href="(/runs/[^"]+)"', text):
        assert client.get(run).status_code == 200, run
    (sample.root / "dvc.yaml").rename(sample.root / "dvc.yaml.away")
    try:
        (sample.root / "dvc.yaml").write_text("stages: [1]\n")
        broken = client.get("/pipeline")
        assert broken.status_code == 200
        assert "cannot be read" in broken.text
    finally:
        (sample.root / "dvc.yaml.away").rename(sample.root / "dvc.yaml")


def test_ci_runs_are_listed_and_each_report_is_a_page(client: TestClient, sample: Sample) -> None:
    commit = sample.git.resolve("HEAD")
    report = CiReport(
        project="sample",
        commit=commit,
        subject=HOSTILE,
        started_ms=1_700_000_000_000,
        passed=False,
        steps=(
            StepReport(name="data", status="passed", seconds=0.2, sentence="in place"),
            StepReport(
                name="gate", status="failed", seconds=61.0, sentence=HOSTILE, details=(HOSTILE, "last")
            ),
        ),
        checks=(
            CheckReport(kind="metric", name="roc_auc", status="fail", severity="block", sentence="too low"),
        ),
        metrics={"roc_auc": 0.5},
        champion="late/1",
        champion_metrics={"roc_auc": 0.75},
    )
    save_report(sample.project, report)
    listed = client.get("/pipeline").text
    address = f"/ci/1700000000000-{commit[:12]}"
    assert f'href="{address}"' in listed
    for place in (address, f"/ci/{commit[:10]}"):
        text = client.get(place).text
        words = words_of(text)
        assert "<script>alert" not in text
        for told in ("refused", "1 min 1 s", "too low", "−0.25", f"penstock ci log {commit[:10]}"):
            assert told in words, told
    assert client.get("/ci/ffff").status_code == 404
    assert client.get(f"/ci/x-{'9' * 400}").status_code == 404


def test_outside_a_repository_both_pages_say_how_to_begin(tmp_path: Path) -> None:
    project = open_server_project(tmp_path, {})
    client = TestClient(build_server_app(project, ControllerLoop(project)))
    assert "penstock add data/raw" in client.get("/data").text
    assert "penstock stage add" in client.get("/pipeline").text
    assert client.get("/data/x").status_code == 404
    project.close()


def test_experiments_stand_on_the_pipeline_page_with_what_they_differ_in(
    sample: Sample, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "None was tried yet" in client.get("/pipeline").text
    git = sample.project.git
    head = git.resolve("HEAD")
    text = (sample.root / "params.yaml").read_text()
    changed = (
        git.feed(text.replace("strength: 1.0", "strength: 2.0").encode(), "hash-object", "-w", "--stdin")
        .decode()
        .strip()
    )
    listed = git.run("ls-tree", head)
    tree = "\n".join(
        f"100644 blob {changed}\tparams.yaml" if line.endswith("\tparams.yaml") else line
        for line in listed.splitlines()
    )
    made = git.feed((tree + "\n").encode(), "mktree").decode().strip()
    commit = git.run("commit-tree", made, "-p", head, "-m", "tried").strip()
    git.run("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/deeper{HOSTILE[:8]}", commit)
    page = client.get("/pipeline").text
    assert "deeper&lt;script&gt;" in page
    row = words_of(page[page.index('data-key="exp-deeper') :].split("</tr>")[0])
    assert commit[:7] in row
    assert row.rstrip().endswith("2")
    assert ">strength<" in page
    assert "began at" in page
    assert "not shown" not in words_of(page)
    older = git.resolve("HEAD~1")
    commit = git.run("commit-tree", made, "-p", older, "-m", "tried").strip()
    git.run("update-ref", f"refs/exps/{older[:2]}/{older[2:]}/before", commit)
    monkeypatch.setattr(pipeline_views, "BASELINES", 0)
    monkeypatch.setattr(pipeline_views, "COLUMNS", 0)
    told = words_of(client.get("/pipeline").text)
    assert "Experiments that began at 1 older commit are not shown." in told
    assert re.search(r"[1-9]\d* further columns? (?:is|are) not shown", told)


def test_of_many_versions_that_came_of_data_three_are_named_and_the_rest_is_counted() -> None:
    found = Tracked(path="data/raw.csv", source="data/raw.csv.dvc", info=None, changes=())
    told = answer_of(found, 5, ["late/1", "late/4", "fare/2", "fare/1", "late/2"])
    assert told.endswith("5 runs used it, and late/1, late/4, fare/2 and 2 more came of it.")
