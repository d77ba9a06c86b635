"""How old the data of a pipeline are, as far as git's history tells."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from penstock.flows.models.candidates import Candidate
from penstock.flows.models.evidence.origin import Origin
from penstock.project.opening import open_project
from penstock.project.project import Project
from penstock.registry.package import Manifest
from projects import Sample


def age(project: Project) -> int | str:
    settings = project.settings.all_models[0]
    return Origin(project, Candidate(settings, project.root, Manifest(()))).data_time_ms()


def test_data_that_are_older_than_a_shallow_clone_are_of_no_known_age(
    trained: Sample, tmp_path: Path
) -> None:
    committed_ms = int(trained.git.run("log", "-1", "--format=%ct", "--", "data/raw.csv.dvc")) * 1000
    trained.write("notes.txt", "later\n")
    trained.commit("Take notes")
    assert age(trained.project) == committed_ms
    for depth, told in (
        ("1", "older than this clone, which is shallow; next: git fetch --unshallow"),
        ("9999", None),
    ):
        root = tmp_path / depth
        trained.git.run("clone", "--quiet", "--depth", depth, f"file://{trained.root}", str(root))
        with closing(open_project(root, {})) as project:
            found = age(project)
            assert found == committed_ms if told is None else told in str(found)


def test_data_that_are_not_committed_are_of_no_known_age(trained: Sample) -> None:
    trained.git.run("checkout", "--quiet", "--orphan", "new")
    trained.git.run("commit", "--quiet", "--allow-empty", "-m", "Nothing", "--only")
    assert age(trained.project) == "the data that the pipeline reads are not committed"
