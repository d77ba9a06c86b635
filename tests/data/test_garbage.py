"""Garbage collection: what goes, what stays, and that it can be undone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from penstock.base.errors import NotFound, Refused
from penstock.data.cache import garbage
from penstock.data.cache.presence import has
from penstock.data.cache.transfer import push_objects, remote_key
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.flows.tracked.collecting import GarbageOptions, collect_garbage, plan_garbage
from penstock.flows.tracked.history import Scope
from penstock.storage.memory import MemoryBackend

from .conftest import write_files


def commit(root: Path, message: str) -> None:
    for arguments in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qm", message]):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)


def stored(repo: DataRepository) -> set[str]:
    return {path.parent.name + path.name for path in (repo.cache.root / "files/md5").glob("??/*")}


@pytest.fixture
def two_versions(repo: DataRepository) -> list[str]:
    """One directory in two versions, each committed; the trees' names."""
    names = []
    for content in ("one", "two"):
        write_files(repo.root / "d", {"same": "same", "file": content})
        names.append(add_path(repo, repo.root / "d").hash.md5)
        commit(repo.root, content)
    return names


def test_what_only_an_old_commit_needs_goes(repo: DataRepository, two_versions: list[str]) -> None:
    plan = collect_garbage(repo, GarbageOptions())
    assert len(plan.cache.objects) == 2
    assert plan.cache.objects[0].md5 == two_versions[0]
    assert not repo.cache.has_md5(two_versions[0])
    assert collect_garbage(repo, GarbageOptions()).cache.objects == ()


@pytest.mark.parametrize(
    "scope", [Scope(commits=True), Scope(revision="HEAD", count=2), Scope(since="2020-01-01")]
)
def test_a_scope_keeps_old_commits(repo: DataRepository, two_versions: list[str], scope: Scope) -> None:
    assert collect_garbage(repo, GarbageOptions(scope)).cache.objects == ()


def test_a_tag_keeps_its_commit(repo: DataRepository, two_versions: list[str]) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@e"]
    subprocess.run(["git", "-C", str(repo.root), *identity, "tag", "-m", "x", "v1", "HEAD~1"], check=True)
    assert collect_garbage(repo, GarbageOptions(Scope(tags=True))).cache.objects == ()


def test_a_dry_run_changes_nothing(repo: DataRepository, two_versions: list[str]) -> None:
    assert len(collect_garbage(repo, GarbageOptions(dry=True)).cache.objects) == 2
    assert repo.cache.has_md5(two_versions[0])


def test_a_collection_can_be_undone(repo: DataRepository, two_versions: list[str]) -> None:
    before = stored(repo)
    collect_garbage(repo, GarbageOptions())
    assert garbage.undo_removal(repo) == 2
    assert stored(repo) == before
    with pytest.raises(NotFound):
        garbage.undo_removal(repo)


def test_young_objects_stay(repo: DataRepository, two_versions: list[str]) -> None:
    plan = collect_garbage(repo, GarbageOptions(grace_s=600))
    assert plan.cache.objects == () and plan.cache.fresh_count == 2


def test_another_project_keeps_its_objects(
    repo: DataRepository, two_versions: list[str], tmp_path: Path
) -> None:
    subprocess.run(["git", "clone", "-q", str(repo.root), str(tmp_path / "other")], check=True)
    subprocess.run(["git", "-C", str(tmp_path / "other"), "checkout", "-q", "HEAD~1"], check=True)
    (tmp_path / "other" / ".dvc" / "config").write_text(f"[cache]\n    dir = {repo.cache.root}\n")
    assert collect_garbage(repo, GarbageOptions(projects=(tmp_path / "other",))).cache.objects == ()


def test_a_missing_tree_stops_it(repo: DataRepository, two_versions: list[str]) -> None:
    Path(repo.cache.path(two_versions[1])).unlink()
    with pytest.raises(Refused):
        collect_garbage(repo, GarbageOptions())
    assert has(repo, add_path(repo, repo.root / "d").hash)


def test_on_a_remote_trees_go_first(repo: DataRepository, two_versions: list[str]) -> None:
    from penstock.data.formats.output import HashInfo

    remote = MemoryBackend()
    push_objects(repo, [HashInfo(md5) for md5 in two_versions], remote)
    order: list[str] = []
    delete = remote.delete
    remote.delete = lambda key: (order.append(key), delete(key))[1]  # type: ignore[method-assign,func-returns-value]
    plan = plan_garbage(repo, [repo], remote, GarbageOptions(cloud=True, grace_s=0))
    assert plan.remote is not None
    garbage.apply_remote(remote, plan.remote, jobs=1)
    assert order[0] == remote_key(two_versions[0]) and len(order) == 2
    assert remote.exists(remote_key(two_versions[1]))
