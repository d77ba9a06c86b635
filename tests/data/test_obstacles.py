"""What `.dvcignore` hides from a scan is not lost when a checkout writes in its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penstock.base.errors import Invalid, Refused
from penstock.data.formats.output import Output
from penstock.data.pointers.pointer import list_pointers, load_pointer
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path, commit_pointer
from penstock.data.verbs.checkout import checkout_output

from .conftest import write_files


@pytest.fixture
def output(repo: DataRepository) -> Output:
    write_files(repo.root / "d", {"a": "1", "s/b": "2"})
    add_path(repo, repo.root / "d")
    return list_pointers(repo)[0].outputs[0]


def hiding(repo: DataRepository, patterns: str) -> DataRepository:
    (repo.root / ".dvcignore").write_text(patterns)
    return DataRepository.open(repo.root)


def kept(repo: DataRepository) -> dict[str, str]:
    folders = (repo.dvc_dir / "tmp" / "penstock-kept").glob("*")
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("pattern", ["s", "d", "d/s/b"])
def test_a_hidden_edit_is_refused_and_kept_with_force(
    repo: DataRepository, output: Output, pattern: str
) -> None:
    (output.path / "s/b").write_text("EDIT")
    repo = hiding(repo, pattern)
    with pytest.raises(Refused) as caught:
        checkout_output(repo, output)
    assert caught.value.fields["paths"] == ["d/s/b"]
    assert (output.path / "s/b").read_text() == "EDIT"
    assert checkout_output(repo, output, force=True) == "modified"
    assert (output.path / "s/b").read_text() == "2"
    assert kept(repo) == {"d/s/b": "EDIT"}
    assert checkout_output(repo, output) == "unchanged"


def test_what_is_hidden_and_as_recorded_is_left_alone(repo: DataRepository, output: Output) -> None:
    assert checkout_output(hiding(repo, "s"), output) == "unchanged"


def test_hidden_files_that_no_list_names_stay(repo: DataRepository, output: Output) -> None:
    repo = hiding(repo, "*.log\n")
    write_files(output.path, {"x.log": "mine", "s/y.log": "mine", "a": "new"})
    (output.path / "s/b").unlink()
    checkout_output(repo, output, force=True)
    assert (output.path / "x.log").read_text() == (output.path / "s/y.log").read_text() == "mine"
    assert kept(repo) == {"d/a": "new"}


def test_a_hidden_file_in_the_place_of_a_directory(repo: DataRepository, output: Output) -> None:
    shutil.rmtree(output.path / "s")
    (output.path / "s").write_text("mine")
    repo = hiding(repo, "s")
    with pytest.raises(Refused, match="d/s"):
        checkout_output(repo, output)
    checkout_output(repo, output, force=True)
    assert (output.path / "s/b").read_text() == "2"
    assert kept(repo) == {"d/s": "mine"}


def test_hidden_files_in_a_directory_in_the_place_of_a_file(repo: DataRepository, output: Output) -> None:
    (output.path / "a").unlink()
    write_files(output.path, {"a/x.log": "mine"})
    repo = hiding(repo, "*.log")
    with pytest.raises(Refused, match=r"d/a/x\.log"):
        checkout_output(repo, output)
    checkout_output(repo, output, force=True)
    assert (output.path / "a").read_text() == "1"
    assert kept(repo) == {"d/a/x.log": "mine"}


def test_a_directory_of_hidden_files_in_the_place_of_an_output(repo: DataRepository) -> None:
    path = repo.root / "f"
    path.write_text("1")
    add_path(repo, path)
    path.unlink()
    write_files(path, {"x.log": "mine"})
    repo = hiding(repo, "*.log")
    output = list_pointers(repo)[0].outputs[0]
    with pytest.raises(Refused, match=r"f/x\.log"):
        checkout_output(repo, output)
    checkout_output(repo, output, force=True)
    assert path.read_text() == "1"
    assert kept(repo) == {"f/x.log": "mine"}


def test_a_linked_directory_is_not_looked_through(
    repo: DataRepository, output: Output, tmp_path: Path
) -> None:
    shutil.rmtree(output.path / "s")
    outside = write_files(tmp_path / "outside", {"b": "2"})
    (output.path / "s").symlink_to(outside)
    with pytest.raises(Invalid, match="symbolic link"):
        checkout_output(hiding(repo, "s"), output)


def test_what_is_hidden_as_a_whole_is_not_committed_empty(repo: DataRepository, output: Output) -> None:
    before = (repo.root / "d.dvc").read_text()
    repo = hiding(repo, "d")
    with pytest.raises(Invalid, match="is excluded"):
        commit_pointer(repo, load_pointer(repo, repo.root / "d.dvc"))
    assert (repo.root / "d.dvc").read_text() == before
