"""What was edited and never added survives the commands that replace or remove it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from servers.forking import run_penstock

STAGE = "stages:\n  s:\n    cmd: mkdir -p d/s && echo 1 > d/s/a\n    outs:\n    - d\n"


def run(root: Path, *arguments: str) -> str:
    done = run_penstock(root, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr


def git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with a tracked directory at two tags."""
    root = tmp_path / "source"
    (root / "d" / "s").mkdir(parents=True)
    git(root, "init", "-q")
    run(root, "init", "-q")
    for number in (1, 2):
        (root / "d" / "s" / "a").write_text(f"{number}\n")
        run(root, "add", "d")
        git(root, "add", "-A")
        git(root, "commit", "-qm", str(number))
        git(root, "tag", f"v{number}")
    return root


@pytest.mark.parametrize("way", ["import", "import-url", "remove", "remove stage", "checkout"])
def test_a_copy_is_kept_of_what_was_edited(source: Path, tmp_path: Path, way: str) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q")
    run(root, "init", "-q")
    if way == "import":
        run(root, "import", "--rev", "v1", str(source), "d")
        last = ("update", "--rev", "v2", "d.dvc")
    elif way == "import-url":
        run(root, "import-url", str(source / "d"))
        (source / "d" / "s" / "a").write_text("3\n")
        last = ("update", "d.dvc")
    elif way in {"remove", "checkout"}:
        shutil.copytree(source / "d", root / "d")
        run(root, "add", "d")
        last = ("remove", "--outs", "d.dvc") if way == "remove" else ("checkout", "--force")
    else:
        (root / "dvc.yaml").write_text(STAGE)
        run(root, "repro")
        last = ("remove", "--outs", "s")
    (root / "d" / "s" / "a").write_text("edited\n")
    (root / "d" / "new").write_text("new\n")
    assert "kept in .dvc/tmp/penstock-kept/" in run(root, *last)
    assert not (root / "d" / "new").exists()
    kept = {
        path.relative_to(root / ".dvc" / "tmp" / "penstock-kept").parts[1:]: path.read_text()
        for path in (root / ".dvc" / "tmp" / "penstock-kept").rglob("*")
        if path.is_file()
    }
    assert kept == {("d", "s", "a"): "edited\n", ("d", "new"): "new\n"}


def test_what_was_kept_is_named_before_everything_is_destroyed(source: Path) -> None:
    (source / "d" / "s" / "a").write_text("by hand\n")
    assert "penstock-kept" in run(source, "checkout", "--force")
    for words in (("destroy", "-f"), ("destroy", "-f", "--json")):
        refused = run_penstock(source, *words)
        assert refused.returncode == 1
        told = refused.stderr + refused.stdout
        assert "1 file (8 bytes): .dvc/tmp/penstock-kept/" in told and "/d/s/a" in told
        assert "--drop-kept" in told
    assert (source / "d.dvc").exists()
    kept = source / ".dvc" / "tmp" / "penstock-kept"
    assert [path.read_text() for path in kept.rglob("a")] == ["by hand\n"]
    kept.rename(source.parent / "saved")
    run(source, "destroy", "-f")
    assert not (source / ".dvc").exists()
    assert (source / "d" / "s" / "a").read_text() == "2\n"


def test_what_was_kept_goes_too_when_that_is_said(source: Path) -> None:
    (source / "d" / "s" / "a").write_text("by hand\n")
    run(source, "checkout", "--force")
    run(source, "destroy", "-f", "--drop-kept")
    assert not (source / ".dvc").exists()
