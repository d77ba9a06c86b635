"""From a directory and variables to a project: who wins over whom, and what is a project at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.base.errors import NotARepository
from penstock.data.verbs.creation import init_repository
from penstock.project.opening import open_project, open_server_project, read_tracking_settings
from penstock.workspace import open_workspace

ADA = {"USER": "ada"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    init_repository(tmp_path, no_scm=True)
    (tmp_path / "penstock.yaml").write_text("project: sample\nstore: sqlite:///own.db\nartifacts: files\n")
    return tmp_path


def test_variables_win_over_the_settings_and_the_settings_over_nothing(root: Path) -> None:
    plain = open_project(root, ADA)
    assert plain.places.store_url == f"sqlite:///{root / 'own.db'}"
    assert plain.places.artifacts_url == str(root / "files")
    assert plain.actor == "person:ada"
    told = {
        **ADA,
        "PENSTOCK_STORE": "postgresql://host/p",
        "PENSTOCK_ARTIFACTS": "s3://b/a",
        "PENSTOCK_ACTOR": "ci",
    }
    other = open_project(root / "penstock.yaml" / "..", told)
    assert (other.places.store_url, other.places.artifacts_url) == ("postgresql://host/p", "s3://b/a")
    assert other.actor == "ci"


def test_opening_reads_nothing_but_the_variables_it_is_given(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_STORE", "postgresql://elsewhere/p")
    monkeypatch.setenv("PENSTOCK_URI", "http://elsewhere")
    before = dict(os.environ)
    assert open_project(root, ADA).places.store_url.startswith("sqlite")
    assert read_tracking_settings({}).uri == ""
    assert open_workspace(root).places.store_url == "postgresql://elsewhere/p"
    assert dict(os.environ) == before


def test_a_directory_without_repository_is_a_project_where_a_store_is_named_or_kept(tmp_path: Path) -> None:
    with pytest.raises(NotARepository):
        open_project(tmp_path, ADA)
    named = open_project(tmp_path, {**ADA, "PENSTOCK_STORE": "sqlite:///x.db"})
    assert named.places.store_url == f"sqlite:///{tmp_path / 'x.db'}"
    (tmp_path / ".penstock").mkdir()
    (tmp_path / ".penstock" / "penstock.db").touch()
    assert open_project(tmp_path, ADA).root == tmp_path


def test_a_server_needs_no_repository_and_takes_what_it_is_given_first(tmp_path: Path) -> None:
    variables = {
        **ADA,
        "MLFLOW_BACKEND_STORE_URI": "sqlite:////m.db",
        "PENSTOCK_STORE": "sqlite:////p.db",
        "PENSTOCK_ACTOR": "ops",
    }
    mlflow = open_server_project(tmp_path, variables)
    assert (mlflow.places.store_url, mlflow.actor) == ("sqlite:////m.db", "ops")
    given = open_server_project(tmp_path, variables, store="sqlite:////g.db", artifacts="s3://b")
    assert (given.places.store_url, given.places.artifacts_url) == ("sqlite:////g.db", "s3://b")
    bare = open_server_project(tmp_path, ADA)
    assert (bare.root, bare.actor) == (tmp_path.resolve(), "person:ada")


def test_penstocks_variables_of_tracking_win_over_mlflows() -> None:
    both = {"PENSTOCK_URI": "http://p", "MLFLOW_TRACKING_URI": "http://m", "MLFLOW_EXPERIMENT_NAME": "e"}
    assert (read_tracking_settings(both).uri, read_tracking_settings(both).experiment) == ("http://p", "e")
    assert read_tracking_settings({"MLFLOW_TRACKING_URI": "http://m"}).uri == "http://m"
