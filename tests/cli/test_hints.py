"""What a message tells to type next works where it is read."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from .conftest import Desk


def follow(desk: Desk, told: str, cwd: str) -> None:
    """Type what stands behind the tabulator."""
    words = shlex.split(told.partition("\t")[2])
    subprocess.run(words, cwd=desk.root / cwd, check=True)


def test_git_add_counts_from_here(desk: Desk) -> None:
    desk.put({"sub/a b": "1", "sub/deep/f": "2"})
    follow(desk, desk.run("add", "a b", "deep/f", cwd="sub").stdout, "sub")
    follow(desk, desk.run("move", "deep/f", "deep/g'", cwd="sub").stdout, "sub")
    follow(desk, desk.run("import-url", "deep/g'", "h", cwd="sub").stdout, "sub")
    assert desk.git("status", "--porcelain", "--untracked-files=all").count("??") == 0


def test_without_git_nobody_speaks_of_git(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "bare").mkdir()
    desk.root = tmp_path / "bare"
    told = desk.run("init", "--no-scm").stdout
    desk.put({"f": "1"})
    told += desk.run("add", "f").stdout + desk.run("move", "f", "g").stdout
    assert told.partition("\n")[2] == "Next: penstock add DATA\nWrote f.dvc\nWrote g.dvc\n"


def test_a_part_of_a_directory_is_taken_out(desk: Desk) -> None:
    desk.put({"raw/a": "1", "raw/b": "2"})
    desk.run("add", "raw")
    assert "rm raw/b, then penstock add raw/b" in desk.error("remove", "raw/b")
    (desk.root / "raw/b").unlink()
    desk.run("add", "raw/b")
    assert desk.json("status") == {}
    assert [entry["path"] for entry in desk.json("list", ".", "raw")] == ["a"]


def test_causes_are_told_apart(desk: Desk) -> None:
    assert "the repository itself" in desk.error("add", ".")
    desk.put({"raw/a": "1"})
    desk.run("add", "raw")
    shutil.rmtree(desk.root / "raw")
    shutil.rmtree(desk.root / ".dvc/cache")
    assert "raw cannot be checked out" in (told := desk.error("checkout"))
    assert "penstock pull raw.dvc" in told
    text = (desk.root / "raw.dvc").read_text()
    desk.put({"raw.dvc": f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n"})
    assert "both sides of a conflict" in (told := desk.error("status"))
    assert "git checkout --ours raw.dvc" in told
