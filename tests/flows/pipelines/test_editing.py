"""Stages are written into dvc.yaml whole or not at all, and taken out again with all that belongs to them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from penstock.base.errors import PenstockError
from penstock.data.repository import DataRepository
from penstock.flows.pipelines.editing import NewStage, add_stage, remove_stage
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.stage import StageOutput

STAGES = """\
stages:
  made:
    cmd: x   # as it is
    deps: [in]
    outs: [one]
  each:
    matrix: {n: [1, 2]}
    cmd: x
    outs: ["${item.n}.txt"]
"""


@pytest.fixture
def repo(tmp_path: Path) -> DataRepository:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text(STAGES)
    return DataRepository.open(tmp_path)


def out(*paths: str) -> tuple[StageOutput, ...]:
    return tuple(StageOutput(path) for path in paths)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (NewStage("a@b", "x"), "is no name for a stage"),
        (NewStage("", "x"), "is no name for a stage"),
        (NewStage("a", " "), "has no command"),
        (NewStage("made", "x"), "there is a stage `made`"),
        (NewStage("a", "x", wdir="no"), "working directory no"),
        (NewStage("a", "x", wdir=".."), r"working directory \.\."),
        (NewStage("a", "x", dependencies=("d", "d")), "d is given twice"),
        (NewStage("a", "x", dependencies=("d",), outputs=out("d")), "d is given twice"),
        (NewStage("a", "x", dependencies=("p",), parameters=("p:k",)), "p is given twice"),
        (NewStage("a", "x", outputs=out("one/inner")), "`a` makes one/inner, inside one, which"),
        (NewStage("a", "x", outputs=out("2.txt")), "both make 2.txt"),
        (NewStage("a", "x", dependencies=("one",), outputs=out("in")), "in a circle"),
    ],
)
def test_what_is_not_sound_is_refused_and_nothing_written(
    repo: DataRepository, new: NewStage, said: str
) -> None:
    with pytest.raises(PenstockError, match=said):
        add_stage(repo, new, repo.root)
    assert (repo.root / "dvc.yaml").read_text() == STAGES
    assert not (repo.root / ".gitignore").exists()


def test_a_stage_in_a_new_file_counts_at_once(repo: DataRepository) -> None:
    (repo.root / "sub").mkdir()
    add_stage(repo, NewStage("a", "x", outputs=out("o")), repo.root / "sub")
    assert "sub/dvc.yaml:a" in [stage.address for stage in load_all_stages(repo)]


def test_a_group_goes_as_a_whole_and_a_file_with_its_last_stage(repo: DataRepository) -> None:
    (repo.root / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  each@1:\n    cmd: x\n  made:\n    cmd: x\n  each@2:\n    cmd: x\n"
    )
    (repo.root / ".gitignore").write_text("/1.txt\n/one\n/2.txt\n")
    (repo.root / "one").write_text("1")
    remove_stage(repo, "each", repo.root)
    assert (repo.root / "dvc.yaml").read_text() == STAGES.split("  each", maxsplit=1)[0]
    assert (repo.root / "dvc.lock").read_text() == "schema: '2.0'\nstages:\n  made:\n    cmd: x\n"
    assert (repo.root / ".gitignore").read_text() == "/one\n"
    remove_stage(repo, "dvc.yaml:made", repo.root, with_data=True)
    assert sorted(path.name for path in repo.root.iterdir()) == [".dvc", ".git"]
