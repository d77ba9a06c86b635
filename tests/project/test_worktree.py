"""Trees beside the workspace: several at once, those of killed processes, and those of others."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from penstock.project.worktree import clean_worktree
from projects import Sample


def listed(sample: Sample) -> list[str]:
    """Return the names of the trees that git knows, in order."""
    lines = sample.git.run("worktree", "list", "--porcelain").splitlines()
    return sorted(Path(line.removeprefix("worktree ")).name for line in lines if line.startswith("worktree "))


def test_trees_that_come_and_go_at_once_do_not_disturb_each_other(sample: Sample) -> None:
    project = sample.project

    def use(_: int) -> bool:
        with clean_worktree(project, "HEAD", "me") as tree:
            return tree.git.head() == project.git.head() and (tree.root / "train.py").is_file()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(24)))
    assert listed(sample) == ["project"]
    assert os.listdir(project.home / "worktrees") == []


def test_what_a_killed_process_left_goes_and_a_tree_whose_disk_is_away_stays(
    sample: Sample, tmp_path: Path
) -> None:
    home = sample.project.home / "worktrees"
    home.mkdir()
    places = [home / "0-whole", home / "0-half", tmp_path / "theirs"]  # no process has the number 0
    for place in places:
        sample.git.run("worktree", "add", "--quiet", "--detach", str(place))
    for place in places[1:]:
        shutil.rmtree(place)
    with clean_worktree(sample.project, "HEAD", "me") as tree:
        assert listed(sample) == sorted(["project", "theirs", tree.root.name])
        assert os.listdir(home) == [tree.root.name]
    assert listed(sample) == ["project", "theirs"]
