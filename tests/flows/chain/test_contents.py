"""What `why` says of a path: what it holds now, what it held, where that is, and who made and used each content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from penstock.base.errors import NotFound
from penstock.cli.main import cli
from penstock.data.cache.hashing import hash_path
from penstock.flows.chain.lineage import explain
from penstock.flows.tracked.timeline import read_history
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.registry.versions import list_versions_of_output
from penstock.tracking.runs import delete_run
from penstock.workspace import open_workspace
from projects import Sample, rows

RAW = "data/raw.csv"


def penstock(root: Path, *arguments: str) -> str:
    done = CliRunner(env={"PENSTOCK_ACTOR": "person:ada"}).invoke(cli, ["-C", str(root), *arguments])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def told(sample: Sample, subject: str) -> Any:
    return json.loads(penstock(sample.root, "--json", "why", subject))


def texts(found: Any, kind: str) -> list[str]:
    return [link["text"] for link in found["links"] if link["kind"] == kind]


def md5_of(sample: Sample, path: str) -> str:
    return hash_path(sample.project.data, sample.root / path).md5


def change(sample: Sample, *, seed: int = 5) -> str:
    """Give the data another content on disk; return its md5."""
    sample.write(RAW, rows(300, seed=seed))
    return md5_of(sample, RAW)


def test_a_changed_path_is_told_by_what_it_holds_now_and_then_by_what_it_held(released: Sample) -> None:
    old, new = md5_of(released, RAW), change(released)
    found = told(released, RAW)
    assert [link["key"] for link in found["links"] if link["kind"] == "data"] == [f"md5:{old}", f"md5:{new}"]
    assert "on disk, not added; next: penstock add data/raw.csv" in texts(found, "data")[1]
    assert found["version"] == "late/1"
    released.add(RAW)
    assert "now, not committed, no run used it" in texts(told(released, RAW), "data")[0]
    commit = released.commit("Take new data")
    found = told(released, RAW)
    first, second = (link for link in found["links"] if link["kind"] == "data")
    assert (first["key"], first["details"]["runs"], first["details"]["commit"]) == (f"md5:{new}", [], commit)
    assert f"now, since commit {commit[:10]}" in first["text"] and "no run used it" in first["text"]
    assert second["key"] == f"md5:{old}" and len(second["details"]["runs"]) == 1
    assert f"until commit {commit[:10]}, used by 1 run ({second['details']['runs'][0][:8]})" in second["text"]
    kinds = [link["kind"] for link in found["links"]]
    assert kinds[:3] == ["data", "data", "model version"]
    assert (found["version"], found["commit"]) == (None, commit), "what it holds now made no version"


def test_a_moved_and_a_deleted_path_are_told_as_such(released: Sample) -> None:
    penstock(released.root, "move", RAW, "data/flights.csv")
    moved = told(released, "data/flights.csv")
    assert any("the same content was at data/raw.csv" in one for one in texts(moved, "path"))
    assert "as data/raw.csv" in texts(moved, "data")[0] and moved["version"] == "late/1"
    assert any(
        "the same content is at data/flights.csv now" in one for one in texts(told(released, RAW), "path")
    )
    commit = released.commit("Move it")
    gone = told(released, RAW)
    assert f"{RAW} is tracked no more since commit {commit[:10]}" in texts(gone, "path")[0]
    assert "used by 1 run" in texts(gone, "data")[0] and gone["version"] == "late/1"
    (released.root / "data/flights.csv").unlink()
    assert "data/flights.csv is not on disk; next: penstock checkout data/flights.csv" in texts(
        told(released, "data/flights.csv"), "path"
    )
    penstock(released.root, "remove", "data/flights.csv.dvc")
    assert "not committed" in texts(told(released, "data/flights.csv"), "path")[0]


def test_an_import_names_its_source_and_what_an_update_brought(released: Sample, tmp_path: Path) -> None:
    source = Sample.make(tmp_path / "source")
    penstock(released.root, "import", "--rev", "main", str(source.root), RAW, "-o", "data/theirs.csv")
    released.commit("Import")
    first = told(released, "data/theirs.csv")
    commit = source.git.resolve("HEAD")
    assert texts(first, "source") == [f"imported from {RAW} of {source.root}, main, commit {commit[:10]}"]
    change(source)
    source.add(RAW)
    commit = source.commit("More")
    penstock(released.root, "update", "data/theirs.csv.dvc")
    found = told(released, "data/theirs.csv")
    assert texts(found, "source") == [f"imported from {RAW} of {source.root}, main, commit {commit[:10]}"]
    assert "now, not committed, no run used it" in texts(found, "data")[0]
    assert texts(found, "data")[1].startswith(texts(first, "data")[0].split(",")[0])
    penstock(released.root, "import-url", f"file://{source.root}/{RAW}", "data/copied.csv")
    assert texts(told(released, "data/copied.csv"), "source")[0].endswith(f"{source.root}/{RAW}")


def test_an_output_leads_to_its_stage_its_run_and_the_versions_made_from_it(released: Sample) -> None:
    for path, stage in (("data/test.csv", "split"), ("models/late", "train"), ("metrics.json", "train")):
        found = told(released, path)
        kinds = [link["kind"] for link in found["links"]]
        assert (found["kind"], found["version"]) == ("output", "late/1"), path
        assert {"data", "stage", "dependency", "run", "model version"} <= set(kinds), kinds
        assert [link["key"] for link in found["links"] if link["kind"] == "stage"] == [stage]
        assert "made by run" in texts(found, "data")[0]
    [digest] = [link["key"] for link in told(released, "models/late")["links"] if link["kind"] == "data"]
    with released.project.database.read() as connection:
        made = list_versions_of_output(connection, "models/late", digest)
    assert [one.ref for one in made] == ["late/1"], "known by its content, whether a run saw it or not"
    assert told(released, "models/late/model.skops")["kind"] == "output"
    with pytest.raises(NotFound, match="nothing is called"):
        explain(released.project, "train.py")
    released.write("params.yaml", "features: [hour, wind, carrier]\nstrength: 3.0\n")
    penstock(released.root, "repro")
    released.commit("Train again")
    found = told(released, "models/late")
    runs = [link["details"]["runs"] for link in found["links"] if link["kind"] == "data"]
    assert len(runs) == 2 and runs[0] and runs[1] and runs[0] != runs[1], "an earlier content by its own lock"
    assert found["version"] is None
    assert "model version" in [link["kind"] for link in found["links"]]


def test_a_digest_leads_to_the_paths_that_hold_or_held_it(released: Sample) -> None:
    md5 = md5_of(released, RAW)
    printed = texts(told(released, "late/1"), "data")[0].split()[-1]
    penstock(released.root, "move", RAW, "data/flights.csv")
    for subject in (printed, f"md5:{md5}", md5, md5[:9]):
        found = told(released, subject)
        assert (found["kind"], found["version"]) == ("content", "late/1"), subject
        paths = {link["details"]["path"] for link in found["links"] if link["kind"] == "data"}
        assert paths == {RAW, "data/flights.csv"}, subject
    for subject in ("md5:00ff00ff00ff", "nonsense"):
        with pytest.raises(NotFound, match="nothing is called") as raised:
            explain(released.project, subject)
        assert "an md5" in (raised.value.hint or "") and "experiment" in (raised.value.hint or "")


def test_all_subjects_of_data_have_a_page_that_says_the_same(released: Sample) -> None:
    old, run = md5_of(released, RAW), explain(released.project, RAW).links[0].details["runs"][0]
    change(released)
    released.add(RAW)
    released.commit("Take new data")
    with released.project.database.write() as connection:
        delete_run(connection, run)
    project = open_workspace(released.root, {"USER": "ada"})
    client = TestClient(build_server_app(project, ControllerLoop(project)))
    said = {}
    for subject in (RAW, "data/test.csv", "models/late", f"md5:{old}"):
        page = client.get(f"/why/{subject}").text
        said[subject] = page.split('class="answer">')[1].split("</p>")[0]
        assert '<svg class="graph"' in page and "deleted" in page, subject
        assert client.get(f"/api/penstock/v1/lineage/{subject}").json() == told(released, subject)
    assert "No run has what it holds now" in said[RAW]
    assert "1 earlier content went into 1 run" in said[RAW]
    assert "Stage split makes it" in said["data/test.csv"]
    assert "This content went into 1 run. late/1 came of it" in said[f"md5:{old}"]
    project.close()


def test_a_shallow_clone_does_not_say_that_old_data_came_with_the_commit_it_ends_at(
    released: Sample, tmp_path: Path
) -> None:
    released.write("more.txt", "1")
    commit = released.commit("Touch no data")
    shallow = tmp_path / "shallow"
    released.git.run("clone", "--quiet", "--depth", "1", f"file://{released.root}", str(shallow))
    found = json.loads(penstock(shallow, "--json", "why", RAW))
    (first, *_) = texts(found, "data")
    assert f"now, since commit {commit[:10]} of " in first
    assert " or before, which is unknown: this clone is shallow; next: git fetch --unshallow" in first


def test_what_is_older_than_the_commits_that_are_looked_at_is_unknown(
    released: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = "only the newest 1 commits that changed tracked data are looked at"
    released.write("other.csv", "1")
    released.add("other.csv")
    released.commit("Newer data")
    project = released.project
    monkeypatch.setattr(read_history, "__defaults__", (1,))
    texts = [link.text for link in explain(project, RAW).links]
    assert any(f"now, since when is unknown: {cut}" in one for one in texts), texts
