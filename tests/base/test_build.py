"""Which commit a program was made from, read as git itself tells it, and from what an installer noted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import penstock
from penstock.base.store.build import find_commit, told_build
from penstock.base.store.head import HEAD

NAMES = ("-c", "user.name=t", "-c", "user.email=t@example.org")


def git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", *NAMES, *words], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_of_a_checkout_is_gits(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "src/penstock").mkdir(parents=True)
    (root / "src/penstock/__init__.py").touch()
    (root / "pyproject.toml").write_text('[project]\nname = "penstock"\n')
    package = str(root / "src/penstock")
    assert find_commit(package, "0") == ""
    git(root, "init", "-q", "-b", "main")
    assert find_commit(package, "0") == ""
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    commit = git(root, "rev-parse", "HEAD")[:12]
    assert find_commit(package, "0") == commit
    git(root, "worktree", "add", "-q", "-b", "other", "../other")
    assert find_commit(str(tmp_path / "other/src/penstock"), "0") == commit
    git(root, "pack-refs", "--all")
    assert find_commit(package, "0") == commit
    assert find_commit(str(tmp_path / "other/src/penstock"), "0") == commit
    git(root, "checkout", "-q", "--detach")
    assert find_commit(package, "0") == commit


def test_what_was_installed_from_git_tells_its_commit_and_the_git_around_it_does_not(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "one", "--allow-empty")
    package = tmp_path / "lib/penstock"
    note = tmp_path / f"lib/penstock-{penstock.__version__}.dist-info/direct_url.json"
    note.parent.mkdir(parents=True)
    assert find_commit(str(package), penstock.__version__) == ""
    commit = "0123456789abcdef" * 3
    note.write_text(
        json.dumps({"url": "https://host/p.git", "vcs_info": {"commit_id": commit[:40], "vcs": "git"}})
    )
    assert find_commit(str(package), penstock.__version__) == commit[:12]
    for broken in ('{"vcs_info": {"commit_id": "$(x)"}}', '{"url": "file:///x"}', '"commit_id"', ""):
        note.write_text(broken)
        assert find_commit(str(package), penstock.__version__) == ""


def test_version_and_schema_are_told() -> None:
    assert told_build(penstock.__version__).startswith(f"{penstock.__version__} (") and told_build(
        penstock.__version__
    ).endswith(f"schema {HEAD})")
