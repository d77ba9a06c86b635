"""Code in submodules is in the clean tree of a commit, with no network; what was never taken stays empty."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.project.worktree import clean_worktree
from penstock.workspace import open_workspace
from projects import Sample

ALLOW = ("-c", "protocol.file.allow=always")


def git(root: Path, *words: str) -> str:
    named = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    done = subprocess.run(["git", *named, *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def library(place: Path, text: str) -> Path:
    place.mkdir()
    git(place, "init", "--quiet", "--initial-branch=trunk")
    (place / "code.py").write_text(text)
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", "code")
    return place


def test_a_clean_tree_has_the_submodules_of_its_commit(sample: Sample, tmp_path: Path) -> None:
    inner = library(tmp_path / "inner", "INNER = 1\n")
    outer = library(tmp_path / "outer", "OUTER = 1\n")
    git(outer, *ALLOW, "submodule", "--quiet", "add", str(inner), "deep")
    git(outer, "commit", "--quiet", "--message", "deep")
    git(sample.root, *ALLOW, "submodule", "--quiet", "add", str(outer), "vendor/my lib")
    git(sample.root, *ALLOW, "submodule", "--quiet", "update", "--init", "--recursive")
    sample.commit("Use a library")
    kept = shutil.move(outer, tmp_path / "gone")  # and it is not needed again
    shutil.move(inner, tmp_path / "gone too")
    project = open_workspace(sample.root)
    with clean_worktree(project, "HEAD", "ci") as tree:
        assert (tree.root / "vendor/my lib/code.py").read_text() == "OUTER = 1\n"
        assert (tree.root / "vendor/my lib/deep/code.py").read_text() == "INNER = 1\n"
        assert tree.git.run("status", "--porcelain", "--untracked-files=no") == ""
    assert not list((project.home / "worktrees").iterdir())
    (Path(kept) / "code.py").write_text("OUTER = 2\n")
    git(Path(kept), "commit", "--quiet", "--all", "--message", "newer")
    newer = git(Path(kept), "rev-parse", "HEAD")
    git(sample.root, "update-index", "--cacheinfo", f"160000,{newer},vendor/my lib")
    git(sample.root, "commit", "--quiet", "--message", "Name what is not here")
    cannot = pytest.raises(Invalid, match="the submodule vendor/my lib cannot be brought")
    with cannot, clean_worktree(project, "HEAD", "ci"):
        pass
    git(sample.root, "submodule", "--quiet", "deinit", "--force", "--all")
    shutil.rmtree(sample.root / ".git/modules")
    with clean_worktree(project, "HEAD", "ci") as tree:  # never taken here: as it is in the user's tree
        assert not list((tree.root / "vendor/my lib").iterdir())
    project.close()
