"""`gc` and `push -a/-T/-A`: both tools keep and remove the same objects."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compat.dvc.tools import Tool, cache_of, copy_tree, git, listing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(penstock: Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four commits, the second tagged, the third on a branch, with a different tree each."""
    root = tmp_path_factory.mktemp("made") / "repo"
    root.mkdir()
    git(root, "init", "-q")
    penstock(root, "init")
    penstock(root, "remote", "add", "-d", "store", str(root.with_name("store")))
    (root / "data").mkdir()
    for number in range(4):
        if number == 2:
            git(root, "checkout", "-qb", "side")
        if number == 3:
            git(root, "checkout", "-q", "-")
            penstock(root, "checkout")
        (root / "data" / "file").write_text(f"version {number}")
        (root / "single").write_text(f"single {number}")
        penstock(root, "add", "data", "single")
        git(root, "add", "-A")
        git(root, "commit", "-qm", f"v{number}")
        if number == 1:
            git(root, "tag", "-m", "tag", "t1")
    return root


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Path:
    copy_tree(made, tmp_path / "repo")
    shutil.rmtree(made.with_name("store"), ignore_errors=True)
    return tmp_path / "repo"


@pytest.fixture
def store(made: Path) -> Path:
    """The remote of every copy; DVC finds it in old commits only by an absolute path."""
    return made.with_name("store")


SCOPES = [
    "-w",
    "-a",
    "-T",
    "-aT",
    "-A",
    "--rev HEAD -n 2",
    "-a -n 2",
    "--date 2020-01-01",
    "--date 2999-01-01",
]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_same_objects_stay(repo: Path, dvc: Tool, penstock: Tool, tmp_path: Path, scope: str) -> None:
    copy_tree(repo, tmp_path / "copy")
    before = cache_of(repo)
    dvc(tmp_path / "copy", "gc", "-f", *scope.split())
    penstock(repo, "gc", "-f", *scope.split())
    assert cache_of(repo) == cache_of(tmp_path / "copy")
    if cache_of(repo) != before:
        penstock(repo, "gc", "--undo")
    assert cache_of(repo) == before


@pytest.mark.parametrize("scope", ["-a", "-T", "-A"])
def test_the_same_objects_are_pushed_and_fetched(
    repo: Path, store: Path, dvc: Tool, penstock: Tool, tmp_path: Path, scope: str
) -> None:
    penstock(repo, "push", scope)
    ours = listing(store / "files")
    store.rename(tmp_path / "first")
    dvc(repo, "push", scope)
    assert listing(store / "files") == ours
    before = cache_of(repo)
    (repo / ".dvc" / "cache").rename(tmp_path / "cache")
    penstock(repo, "fetch", scope)
    found = cache_of(repo)
    assert found == {name: before[name] for name in found}
    assert set(found) == set(ours)


def test_the_same_objects_stay_on_the_remote(
    repo: Path, store: Path, dvc: Tool, penstock: Tool, tmp_path: Path
) -> None:
    dvc(repo, "push", "-A")
    copy_tree(store, tmp_path / "saved")
    dvc(repo, "gc", "-f", "-w", "-c")
    wanted = listing(store / "files")
    store.rename(tmp_path / "done")
    (tmp_path / "saved").rename(store)
    penstock(repo, "gc", "-f", "-w", "-c", "--grace", "3600")
    assert listing(store / "files") != wanted
    penstock(repo, "gc", "-f", "-w", "-c", "--grace", "0")
    assert listing(store / "files") == wanted
    assert penstock.json(repo, "gc", "-f", "-w", "--not-in-remote")["cache"]["removed"]
    assert cache_of(repo) == {}


def test_diff_between_commits_knows_the_lock(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    root = make_repo("pipe", dvc)
    (root / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: cp in out\n    deps: [in]\n    outs: [out]\n    metrics: [{m: {cache: false}}]\n".replace(
            "cp in out", "cp in out && cp in m"
        )
    )
    for text in ("one", "two"):
        (root / "in").write_text(text)
        dvc(root, "repro")
        git(root, "add", "-A")
        git(root, "commit", "-qm", text)
    for arguments in (("HEAD~1", "HEAD"), ("HEAD~1",), ("HEAD~2", "HEAD")):
        assert penstock.json(root, "diff", *arguments) == dvc.json(root, "diff", *arguments)
    before = cache_of(root)
    penstock(root, "gc", "-fA")
    assert cache_of(root) == before
