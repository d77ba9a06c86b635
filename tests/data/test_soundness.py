"""An object that somebody may write to proves nothing: it is read, and replaced where it is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.base.digest import digest_bytes
from penstock.data.objects import FEW
from penstock.data.pointers.pointer import load_pointer
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path, commit_pointer
from penstock.data.verbs.checkout import checkout_output
from penstock.data.verbs.status import output_state

from .conftest import write_files


def _damage(repo: DataRepository, content: bytes, mode: int = 0o644) -> Path:
    path = Path(repo.cache.path(digest_bytes(content, "md5")))
    path.chmod(0o644)
    path.write_bytes(b"rotten")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("count", [2, FEW + 1])
def test_every_verb_that_stores_replaces_a_damaged_object(repo: DataRepository, count: int) -> None:
    data = write_files(repo.root / "data", {f"{at}.txt": f"{at}\n" for at in range(count)})
    pointer = add_path(repo, data).pointer

    def again() -> None:
        commit_pointer(repo, load_pointer(repo, pointer))

    (repo.root / "x").write_text("0\n")
    for store in (lambda: add_path(repo, data), again, lambda: add_path(repo, repo.root / "x")):
        object_path = _damage(repo, b"0\n")
        if count < FEW:
            output = load_pointer(repo, pointer).outputs[0]
            assert output_state(repo, output) == "not in cache"
        store()
        assert object_path.read_bytes() == b"0\n"
        assert object_path.stat().st_mode & 0o777 == 0o444
    (repo.root / "x").unlink()
    checkout_output(repo, load_pointer(repo, repo.root / "x.dvc").outputs[0])
    assert (repo.root / "x").read_text() == "0\n"


def test_what_lay_half_written_before_the_first_add_is_replaced(repo: DataRepository) -> None:
    place = Path(repo.cache.path(digest_bytes(b"whole", "md5")))
    place.parent.mkdir(parents=True)
    place.write_bytes(b"who")
    (repo.root / "f").write_bytes(b"whole")
    add_path(repo, repo.root / "f")
    assert place.read_bytes() == b"whole"


def test_a_sound_object_with_another_mode_counts_and_is_protected(repo: DataRepository) -> None:
    (repo.root / "f").write_bytes(b"whole")
    add_path(repo, repo.root / "f")
    place = Path(repo.cache.path(digest_bytes(b"whole", "md5")))
    place.chmod(0o644)
    inode = place.stat().st_ino
    assert output_state(repo, load_pointer(repo, repo.root / "f.dvc").outputs[0]) == "unchanged"
    assert (place.stat().st_mode & 0o777, place.stat().st_ino) == (0o444, inode)


def test_a_damaged_list_of_files_is_replaced(repo: DataRepository) -> None:
    data = write_files(repo.root / "data", {"a": "a", "b": "b"})
    info = add_path(repo, data).hash
    place = Path(repo.cache.path(info.md5))
    place.chmod(0o600)
    place.write_bytes(b"[]")
    os.utime(place, (1, 1))
    add_path(repo, data)
    assert repo.cache.load_tree(info).keys() == {"a", "b"}
