"""`repair`: damaged and missing objects come back from wherever a good copy is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penstock.data.cache.transfer import push_objects
from penstock.data.cache.verification import verify_cache
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.flows.tracked.repairing import repair
from penstock.storage.local import LocalBackend

from .conftest import write_files


@pytest.fixture
def tree(repo: DataRepository, tmp_path: Path) -> HashInfo:
    write_files(repo.root / "d", {"a": "a", "b": "b", "sub/c": "c"})
    info = add_path(repo, repo.root / "d").hash
    (repo.dvc_dir / "config").write_text(
        f"[core]\n    remote = s\n['remote \"s\"']\n    url = {tmp_path}/store\n"
    )
    push_objects(repo, [info], LocalBackend(tmp_path / "store"))
    return info


def spoil(repo: DataRepository, md5: str) -> None:
    path = Path(repo.cache.path(md5))
    path.chmod(0o644)
    path.write_text("damaged")
    path.chmod(0o444)


@pytest.mark.parametrize("source", ["workspace", "remote"])
@pytest.mark.parametrize("what", ["file", "tree", "everything"])
def test_everything_comes_back(repo: DataRepository, tree: HashInfo, source: str, what: str) -> None:
    names = sorted(repo.cache.load_tree(tree).values())
    if what == "everything":
        shutil.rmtree(repo.cache.root / "files")
    else:
        spoil(repo, names[0] if what == "file" else tree.md5)
        Path(repo.cache.path(names[1])).unlink()
    if source == "remote":
        shutil.rmtree(repo.root / "d")
    else:
        shutil.rmtree(repo.root.parent / "store")
    opened = DataRepository.open(repo.root)
    found = repair(opened)
    assert found.lost == []
    assert found.from_workspace if source == "workspace" else found.from_remote
    assert verify_cache(opened, [tree]).is_sound
    opened.close()


def test_what_is_nowhere_is_named(repo: DataRepository, tree: HashInfo) -> None:
    bad = min(repo.cache.load_tree(tree).values())
    spoil(repo, bad)
    shutil.rmtree(repo.root / "d")
    shutil.rmtree(repo.root.parent / "store")
    assert repair(repo).lost == [bad]
    assert (repo.dvc_dir / "tmp" / "penstock-kept" / "damaged" / bad).read_text() == "damaged"
