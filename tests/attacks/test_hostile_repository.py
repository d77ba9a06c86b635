"""Pointers, trees, locks and links from elsewhere that try to reach outside: all refused, nothing touched."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from penstock.base.errors import PenstockError
from penstock.data.repository import DataRepository
from penstock.flows.sources.getting import get_path
from penstock.flows.sources.repositories import open_source
from penstock.flows.tracked import versioning
from penstock.flows.tracked.collecting import GarbageOptions, collect_garbage
from penstock.pipeline.outputs import parse_outputs

EVIL = b"evil"
EVIL_MD5 = hashlib.md5(EVIL).hexdigest()


def put(repo: DataRepository, data: bytes, suffix: str = "") -> str:
    md5 = hashlib.md5(data).hexdigest() + suffix
    path = Path(repo.cache.path(md5))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o444)
    return md5


def pointer(repo: DataRepository, path: str, md5: str, extra: str = "") -> None:
    text = f"{extra}outs:\n- md5: {md5}\n  hash: md5\n  path: {json.dumps(path)}\n"
    (repo.root / "x.dvc").write_text(text)


def refused(repo: DataRepository, *, force: bool = True) -> None:
    for attempt in (
        lambda: versioning.checkout(repo, force=force),
        lambda: versioning.checkout(repo, ("x.dvc",), force=force),
    ):
        with pytest.raises(PenstockError):
            attempt()


PATHS = [
    "../victim",
    "/etc/penstock-evil",
    "a/../../victim",
    ".dvc/config",
    ".git/hooks/pre-commit",
    "..",
    ".",
    "a\0b",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_pointer_that_leaves_the_repository(repo: DataRepository, path: str) -> None:
    pointer(repo, path, put(repo, EVIL))
    refused(repo)


@pytest.mark.parametrize("wdir", ["..", "/", "../victims", "a/../.."])
def test_a_working_directory_outside(repo: DataRepository, wdir: str) -> None:
    pointer(repo, "victim", put(repo, EVIL), f"wdir: {wdir}\n")
    refused(repo)


@pytest.mark.parametrize("relpath", ["../victim", "/victim", "a/../../victim", "a//b", "", ".", "a/", "n\0l"])
def test_a_tree_that_leaves_its_directory(repo: DataRepository, relpath: str) -> None:
    evil = put(repo, EVIL)
    tree = json.dumps([{"md5": evil, "relpath": relpath}]).encode()
    pointer(repo, "d", put(repo, tree, ".dir"))
    refused(repo)
    assert not (repo.root / "d").exists()


@pytest.mark.parametrize(
    "relpath", [".git/hooks/pre-commit", "a/.git/config", ".dvc/config", "a/.hg", ".git"]
)
def test_a_tree_that_brings_a_repository_of_its_own(repo: DataRepository, relpath: str) -> None:
    evil = put(repo, EVIL)
    tree = json.dumps([{"md5": evil, "relpath": "ok.git/x"}, {"md5": evil, "relpath": relpath}]).encode()
    pointer(repo, "d", put(repo, tree, ".dir"))
    refused(repo)
    assert not (repo.root / "d").exists()
    with open_source(str(repo.root), base=repo.root) as source, pytest.raises(PenstockError, match="own"):
        get_path(source, "d", repo.root.parent / "got")
    assert not (repo.root.parent / "got").exists()


def test_a_tree_with_names_that_only_resemble_one(repo: DataRepository) -> None:
    evil = put(repo, EVIL)
    names = [".gitignore", "a.git/x", ".git2", "a/.dvcx", "x.dvc"]
    tree = json.dumps([{"md5": evil, "relpath": name} for name in sorted(names)]).encode()
    pointer(repo, "d", put(repo, tree, ".dir"))
    versioning.checkout(repo, ("x.dvc",))
    assert all((repo.root / "d" / name).is_file() for name in names)


@pytest.mark.parametrize("md5", ["../../../victim", "0" * 30 + "/..", "A" * 32, "0" * 31, "0" * 32 + "\n"])
def test_a_digest_that_is_a_path(repo: DataRepository, md5: str) -> None:
    (repo.root / "x.dvc").write_text(f"outs:\n- md5: {json.dumps(md5)}\n  hash: md5\n  path: x\n")
    refused(repo)
    with pytest.raises(PenstockError):
        collect_garbage(repo, GarbageOptions())
    tree = json.dumps([{"md5": md5, "relpath": "a"}]).encode()
    pointer(repo, "d", put(repo, tree, ".dir"))
    refused(repo)


@pytest.mark.parametrize("place", ["d", "sub"])
def test_a_symbolic_link_on_the_way(repo: DataRepository, place: str) -> None:
    evil = put(repo, EVIL)
    tree = json.dumps([{"md5": evil, "relpath": "file"}, {"md5": evil, "relpath": "sub/file"}]).encode()
    pointer(repo, "d", put(repo, tree, ".dir"))
    target = repo.root / "d" if place == "d" else repo.root / "d" / "sub"
    target.parent.mkdir(exist_ok=True)
    os.symlink(repo.root.parent / "victims", target)
    if place == "d":
        refused(repo)
    else:
        try:
            versioning.checkout(repo, (), force=True)
        except PenstockError:
            return
        assert not (repo.root / "d" / "sub").is_symlink()


def test_an_output_that_is_a_link(repo: DataRepository) -> None:
    os.symlink(repo.root.parent / "victim", repo.root / "x")
    pointer(repo, "x", put(repo, EVIL))
    versioning.checkout(repo, (), force=True)
    assert not (repo.root / "x").is_symlink()


@pytest.mark.parametrize("name", ["x.dvc", "x"])
def test_a_metafile_that_is_a_link(repo: DataRepository, name: str) -> None:
    if name == "x.dvc":
        os.symlink(repo.root.parent / "victim", repo.root / "x.dvc")
        refused(repo)
        return
    (repo.root / "sub").mkdir()
    os.symlink(repo.root.parent / "victims", repo.root / "sub" / "link")
    with pytest.raises(PenstockError):
        versioning.add(repo, [repo.root / "sub" / "link" / "file"])


@pytest.mark.parametrize("path", ["../victim", "/etc/penstock-evil", "a/../../victim"])
def test_a_lock_that_names_a_path_outside(repo: DataRepository, path: str) -> None:
    lock = f"schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - path: {path}\n      hash: md5\n      md5: {EVIL_MD5}\n"
    with pytest.raises(PenstockError):
        parse_outputs(repo.root, repo.root / "dvc.lock", lock, "")
    (repo.root / "dvc.lock").write_text(lock)
    (repo.root / "dvc.yaml").write_text(f"stages:\n  a:\n    cmd: x\n    outs: [{path}]\n")
    put(repo, EVIL)
    refused(repo)


@pytest.mark.parametrize("mode", [0o444, 0o644])
def test_an_object_that_is_something_else(repo: DataRepository, mode: int) -> None:
    path = Path(repo.cache.path(EVIL_MD5))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not what the name says")
    path.chmod(mode)
    pointer(repo, "x", EVIL_MD5)
    refused(repo)
    assert not (repo.root / "x").exists()
