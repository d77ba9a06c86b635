"""Checkout: exact content, no lost work, nothing outside the repository."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.base.errors import Corrupt, Invalid, NotFound, PenstockError, Refused
from penstock.data.formats.output import HashInfo, Output
from penstock.data.formats.tree import render_tree
from penstock.data.pointers.pointer import list_pointers, load_pointer
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.data.verbs.checkout import checkout_output

from .conftest import write_files


def tracked(repo: DataRepository, files: dict[str, str | bytes]) -> Output:
    write_files(repo.root / "d", files)
    add_path(repo, repo.root / "d")
    return list_pointers(repo)[0].outputs[0]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_removed_directory_comes_back(repo: DataRepository) -> None:
    output = tracked(repo, {"a": "1", "s/b": "2", "empty": ""})
    shutil.rmtree(output.path)
    assert checkout_output(repo, output) == "added"
    assert content(output.path) == {"a": b"1", "s/b": b"2", "empty": b""}
    assert checkout_output(repo, output) == "unchanged"


def test_unsaved_work_is_refused_and_kept_with_force(repo: DataRepository) -> None:
    output = tracked(repo, {"a": "1", "b": "2"})
    write_files(output.path, {"a": "mine", "new": "also mine"})
    with pytest.raises(Refused) as caught:
        checkout_output(repo, output)
    assert set(caught.value.fields["paths"]) == {"d/a", "d/new"}
    assert content(output.path) == {"a": b"mine", "b": b"2", "new": b"also mine"}
    assert checkout_output(repo, output, force=True) == "modified"
    assert content(output.path) == {"a": b"1", "b": b"2"}
    kept = next((repo.dvc_dir / "tmp" / "penstock-kept").iterdir())
    assert content(kept) == {"d/a": b"mine", "d/new": b"also mine"}


def test_saved_work_is_overwritten_without_asking(repo: DataRepository) -> None:
    output = tracked(repo, {"a": "1"})
    write_files(output.path, {"a": "2"})
    add_path(repo, output.path)
    assert checkout_output(repo, output) == "modified"
    assert content(output.path) == {"a": b"1"}


def test_a_missing_object_changes_nothing(repo: DataRepository) -> None:
    output = tracked(repo, {"a": "1", "b": "2"})
    os.unlink(repo.cache.path("c81e728d9d4c2f636f067f89cc14862c"))
    shutil.rmtree(output.path)
    with pytest.raises(NotFound, match="not in the cache"):
        checkout_output(repo, output)
    assert not output.path.exists()


@pytest.mark.parametrize("mode", [0o444, 0o644])
@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink"])
def test_a_damaged_object_is_never_checked_out(repo: DataRepository, mode: int, kind: str) -> None:
    output = tracked(repo, {"a": "1"})
    path = Path(repo.cache.path("c4ca4238a0b923820dcc509a6f75849b"))
    path.chmod(0o644)
    path.write_text("evil")
    path.chmod(mode)
    shutil.rmtree(output.path)
    (repo.dvc_dir / "config").write_text(f"[cache]\n    type = {kind}\n")
    again = DataRepository.open(repo.root)
    with pytest.raises(Corrupt):
        checkout_output(again, output)
    assert not output.path.exists()
    again.close()


def test_a_file_where_a_directory_was_and_back(repo: DataRepository) -> None:
    directory = tracked(repo, {"a": "1", "s/b": "2"})
    shutil.rmtree(directory.path)
    (repo.root / "d").write_text("now a file")
    add_path(repo, repo.root / "d")
    file = list_pointers(repo)[0].outputs[0]
    assert checkout_output(repo, directory) == "modified"
    assert content(directory.path) == {"a": b"1", "s/b": b"2"}
    assert checkout_output(repo, file) == "modified"
    assert (repo.root / "d").read_text() == "now a file"


def test_names_that_are_not_utf8_survive(repo: DataRepository) -> None:
    folder = os.fsencode(repo.root / "d")
    os.makedirs(folder)
    with open(os.path.join(folder, b"\xff\xfe"), "wb") as file:
        file.write(b"x")
    add_path(repo, repo.root / "d")
    output = list_pointers(repo)[0].outputs[0]
    shutil.rmtree(folder)
    checkout_output(repo, output)
    assert os.listdir(folder) == [b"\xff\xfe"]


@pytest.mark.parametrize("relpath", ["../../outside", "/tmp/penstock-outside", "a/../../../outside"])
def test_a_tree_cannot_write_outside(repo: DataRepository, relpath: str) -> None:
    md5 = "c4ca4238a0b923820dcc509a6f75849b"
    repo.cache.put_bytes(b"1", md5)
    tree = repo.cache.put_tree(render_tree([(relpath, md5)]))
    before = sorted(repo.root.parent.rglob("*"))
    with pytest.raises(PenstockError):
        checkout_output(repo, Output(repo.root / "d", HashInfo(tree), "d.dvc"))
    assert [path for path in sorted(repo.root.parent.rglob("*")) if "tmp" not in path.parts] == [
        path for path in before if "tmp" not in path.parts
    ]


@pytest.mark.parametrize(
    "path", ["../x", "/tmp/x", ".git/hooks/post-checkout", ".dvc/config", "a/../../x", "."]
)
def test_a_pointer_cannot_name_what_is_outside(repo: DataRepository, path: str) -> None:
    text = f"outs:\n- md5: {'0' * 32}\n  size: 1\n  hash: md5\n  path: {path}\n"
    (repo.root / "x.dvc").write_text(text)
    with pytest.raises(Invalid):
        load_pointer(repo, repo.root / "x.dvc")


def test_a_working_directory_cannot_lead_outside(repo: DataRepository) -> None:
    (repo.root / "x.dvc").write_text(f"wdir: ../..\nouts:\n- md5: {'0' * 32}\n  hash: md5\n  path: x\n")
    with pytest.raises(Invalid):
        load_pointer(repo, repo.root / "x.dvc")


def test_a_digest_cannot_lead_outside(repo: DataRepository) -> None:
    (repo.root / "x.dvc").write_text("outs:\n- md5: ../../../../etc/passwd\n  hash: md5\n  path: x\n")
    with pytest.raises(Invalid):
        load_pointer(repo, repo.root / "x.dvc")


def test_a_symbolic_link_above_an_output_is_not_followed(repo: DataRepository, tmp_path: Path) -> None:
    output = tracked(repo, {"a": "1"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (repo.root / "link").symlink_to(outside)
    with pytest.raises(Invalid, match="symbolic link"):
        checkout_output(repo, replace(output, path=repo.root / "link" / "d"))
    assert list(outside.iterdir()) == []


def test_a_symbolic_link_inside_a_directory_is_not_followed(repo: DataRepository, tmp_path: Path) -> None:
    output = tracked(repo, {"s/a": "1", "b": "2"})
    outside = write_files(tmp_path / "outside", {"a": "theirs"})
    shutil.rmtree(output.path / "s")
    (output.path / "s").symlink_to(outside)
    with pytest.raises(Invalid, match="symbolic link"):
        checkout_output(repo, output)
    assert content(outside) == {"a": b"theirs"}


def test_an_output_that_is_a_symbolic_link_is_replaced_not_followed(
    repo: DataRepository, tmp_path: Path
) -> None:
    (repo.root / "f").write_text("mine")
    add_path(repo, repo.root / "f")
    output = list_pointers(repo)[0].outputs[0]
    outside = tmp_path / "precious"
    outside.write_text("mine too")
    (repo.root / "f").unlink()
    (repo.root / "f").symlink_to(outside)
    checkout_output(repo, output, force=True)
    assert outside.read_text() == "mine too"
    assert (repo.root / "f").read_text() == "mine"
    assert not (repo.root / "f").is_symlink()


def test_a_symlinked_pointer_is_refused(repo: DataRepository, tmp_path: Path) -> None:
    (tmp_path / "x.dvc").write_text("outs: []\n")
    (repo.root / "x.dvc").symlink_to(tmp_path / "x.dvc")
    with pytest.raises(Invalid, match="symbolic link"):
        load_pointer(repo, repo.root / "x.dvc")


def test_what_the_cache_has_is_not_kept_when_a_directory_becomes_a_file_or_the_reverse(
    repo: DataRepository,
) -> None:
    place = repo.root / "x"
    place.write_text("file")
    as_file = load_pointer(repo, add_path(repo, place).pointer).outputs[0]
    place.unlink()
    write_files(place, {"d": "d", "sub/e": "e"})
    as_folder = load_pointer(repo, add_path(repo, place).pointer).outputs[0]
    for output in (as_file, as_folder):
        checkout_output(repo, output)
        assert place.is_dir() == (output is as_folder)
    assert repo.kept == []
    (place / "away").symlink_to(repo.dvc_dir)
    (place / "new").write_text("nowhere else")
    with pytest.raises(Refused, match="x/new"):
        checkout_output(repo, as_file)
    checkout_output(repo, as_file, force=True)
    kept = {
        path.name
        for folder in repo.kept
        for path in folder.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    assert kept == {"away", "new"}
    assert place.read_text() == "file"
