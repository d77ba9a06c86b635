"""What `why` says of runs, commits and experiments, and of commits that the repository lost or never had."""

from __future__ import annotations

import shutil
from pathlib import Path

from click.testing import CliRunner

from penstock.base.git import Git
from penstock.cli.main import cli
from penstock.data.git.experiments import find_experiment
from penstock.flows.chain.graph import LACKING, build_graph
from penstock.flows.chain.lineage import explain
from penstock.flows.chain.links import Explanation
from penstock.flows.ci.continuous import run_ci
from penstock.project.project import Project
from penstock.tracking.runs import delete_run
from penstock.workspace import open_workspace
from projects import Sample


def texts(found: Explanation, kind: str) -> list[str]:
    return [link.text for link in found.links if link.kind == kind]


def lose(sample: Sample) -> str:
    """Take the newest commit out of git as a squash does; return what its id was."""
    lost = sample.git.resolve("HEAD")
    sample.git.run("reset", "--quiet", "--soft", "HEAD~1")
    sample.git.run("commit", "--quiet", "--message", "Squashed")
    sample.git.run("reflog", "expire", "--expire=now", "--all")
    sample.git.run("gc", "--quiet", "--prune=now")
    return lost


def test_a_commit_that_git_lost_is_told_as_lost_and_still_leads_to_what_came_of_it(released: Sample) -> None:
    lost = lose(released)
    for subject in ("late/1", lost, lost[:10]):
        found = explain(released.project, subject)
        assert f"this repository does not have it: git fetch URL {lost}" in texts(found, "commit")[0], subject
        assert "late/1" in [link.key for link in found.links]
        graph = build_graph(released.project, found)
        assert graph.nodes[f"commit:{lost}"].note == LACKING


def test_a_shallow_clone_says_how_it_gets_the_commit(released: Sample, tmp_path: Path) -> None:
    released.git.run("commit", "--quiet", "--allow-empty", "--message", "Go on")
    Git(tmp_path).run("clone", "--quiet", "--depth=1", f"file://{released.root}", str(tmp_path / "clone"))
    released.close()
    shutil.copytree(released.root / ".penstock", tmp_path / "clone/.penstock")
    project = open_workspace(tmp_path / "clone", {})
    assert (
        "this clone is shallow and does not have it: git fetch --unshallow origin"
        in texts(explain(project, "late/1"), "commit")[0]
    )
    assert any("what it changed of tracked data" in one for one in texts(explain(project, "HEAD"), "unknown"))
    project.close()


def run_of(project: Project) -> str:
    return next(link.key for link in explain(project, "late/1").links if link.kind == "run")


def test_a_run_is_told_with_its_commit_its_data_and_that_it_was_deleted(released: Sample) -> None:
    run_id = run_of(released.project)
    found = explain(released.project, run_id)
    assert [link.kind for link in found.links][:4] == ["run", "parameters", "commit", "data"]
    assert "clean" in texts(found, "commit")[0] and "data/raw.csv" in texts(found, "data")[0]
    with released.project.database.write() as connection:
        delete_run(connection, run_id)
    for subject in (run_id, "late/1", "data/test.csv"):
        found = explain(released.project, subject)
        text = texts(found, "run")[0]
        assert text.startswith("deleted ") and f"penstock run restore {run_id[:8]}" in text, subject
        assert build_graph(released.project, found).nodes[f"run:{run_id}"].note == "deleted"
    assert "deleted" in texts(explain(released.project, "data/raw.csv"), "data")[0]


def test_a_commit_without_a_version_tells_what_it_changed_and_what_there_is_none_of(sample: Sample) -> None:
    found = explain(sample.project, "HEAD")
    assert [text.partition(" ")[0] for text in texts(found, "change")] == ["data/raw.csv"]
    assert texts(found, "none") == [
        "no run was recorded at it; no model version came of it; no gate judged what came of it; "
        "no CI run on this machine was on it"
    ]
    (sample.root / "README").write_text("x")
    sample.commit("Write")
    assert "it changed no tracked data" in texts(explain(sample.project, "HEAD"), "none")


def test_a_commit_tells_what_ci_said_of_it(sample: Sample) -> None:
    report = run_ci(sample.project, "HEAD")
    found = explain(sample.project, "HEAD")
    assert len(texts(found, "ci run")) == 1 and "passed" in texts(found, "ci run")[0]
    assert [link.key for link in found.links if link.kind == "verdict"] == [report.verdict_id]
    assert texts(found, "none") == []


def test_an_experiment_leads_to_its_run_and_its_commit(trained: Sample) -> None:
    done = CliRunner().invoke(
        cli, ["-C", str(trained.root), "exp", "run", "-S", "strength=2.0", "-n", "tried"]
    )
    assert done.exit_code == 0, done.output
    head = trained.git.resolve("HEAD")
    found = explain(trained.project, "tried")
    assert (found.kind, found.commit) == ("experiment", find_experiment(trained.git, "tried").commit)
    (run_id,) = [link.key for link in found.links if link.kind == "run"]
    assert [link.key for link in found.links if link.kind == "commit"] == [found.commit, head]
    assert any("models/late" in text for text in texts(found, "change"))
    assert f"run:{run_id}" in build_graph(trained.project, found).nodes
