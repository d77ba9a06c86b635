"""Push and fetch: order, checks, and failures that leave nothing wrong behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penstock.base.errors import Unavailable
from penstock.data.cache.transfer import fetch_objects, find_absent, push_objects, remote_key
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.storage.local import LocalBackend
from penstock.storage.memory import MemoryBackend

from .conftest import write_files


class Failing(MemoryBackend):
    """A remote on which some keys cannot be stored; it notes the order of what was."""

    def __init__(self, bad: str = "") -> None:
        super().__init__()
        self.bad = bad
        self.order: list[str] = []

    def put(self, key: str, data: bytes) -> None:
        if self.bad and key == self.bad:
            raise Unavailable("broken", code="storage.unavailable")
        super().put(key, data)
        self.order.append(key)


@pytest.fixture
def tree(repo: DataRepository) -> HashInfo:
    write_files(repo.root / "d", {f"f{number}": str(number) for number in range(30)})
    return add_path(repo, repo.root / "d").hash


def test_the_tree_goes_up_last(repo: DataRepository, tree: HashInfo) -> None:
    remote = Failing()
    report = push_objects(repo, [tree], remote)
    assert report.done == 31
    assert remote.order[-1] == remote_key(tree.md5)


def test_a_tree_stays_when_a_file_fails(repo: DataRepository, tree: HashInfo) -> None:
    bad = min(repo.cache.load_tree(tree).values())
    remote = Failing(remote_key(bad))
    report = push_objects(repo, [tree], remote)
    assert set(report.failed) == {bad, tree.md5}
    assert not remote.exists(remote_key(tree.md5))
    remote.bad = ""
    assert push_objects(repo, [tree], remote).done == 2


def test_a_damaged_object_is_not_pushed(repo: DataRepository, tree: HashInfo) -> None:
    bad = min(repo.cache.load_tree(tree).values())
    path = Path(repo.cache.path(bad))
    path.chmod(0o644)
    path.write_text("evil")
    remote = MemoryBackend()
    assert set(push_objects(repo, [tree], remote).failed) == {bad, tree.md5}


def test_damaged_bytes_do_not_enter_the_cache(repo: DataRepository, tree: HashInfo) -> None:
    remote = MemoryBackend()
    push_objects(repo, [tree], remote)
    bad = min(repo.cache.load_tree(tree).values())
    remote.put(remote_key(bad), b"evil")
    shutil.rmtree(repo.cache.root)
    again = DataRepository.open(repo.root)
    report = fetch_objects(again, [tree], remote)
    assert set(report.failed) == {bad}
    assert not again.cache.has_md5(bad)
    again.close()


def test_a_second_push_sends_nothing(repo: DataRepository, tree: HashInfo) -> None:
    remote = MemoryBackend()
    push_objects(repo, [tree], remote)
    assert push_objects(repo, [tree], remote).done == 0


def test_absent_names_are_found_by_listing_and_by_asking() -> None:
    remote = MemoryBackend()
    names = [f"{number:032x}" for number in range(200)]
    for name in names[:150]:
        remote.put(remote_key(name), b"x")
    assert find_absent(remote, names) == names[150:]
    assert find_absent(remote, names[140:160]) == names[150:160]
    assert find_absent(remote, []) == []


@pytest.mark.parametrize("count", [2, 600])
def test_what_a_remote_lost_of_a_directory_is_pushed_again(
    repo: DataRepository, tmp_path: Path, count: int
) -> None:
    data = write_files(repo.root / "data", {f"{at}": f"{at}" for at in range(count)})
    info = add_path(repo, data).hash
    remote = LocalBackend(tmp_path / "remote")
    push_objects(repo, [info], remote)
    lost = [remote_key(md5) for md5 in list(repo.cache.load_tree(info).values())[:2]]
    remote.delete(lost[0])
    assert push_objects(repo, [info], remote).done == 1
    assert remote.exists(lost[0])
    assert push_objects(repo, [info], remote).done == 0
    remote.delete(lost[1])
    Path(repo.cache.path(lost[1].replace("/", "")[8:])).unlink()
    done = push_objects(repo, [info], remote)
    assert done.missing == set(done.failed) == {lost[1].replace("/", "")[8:]}
