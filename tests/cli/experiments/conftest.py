"""A pipeline that ran, committed, whose experiments are quick."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.conftest import Desk, make_desk

DVC_YAML = """\
stages:
  copy:
    cmd: cp raw copied
    deps: [raw]
    outs: [copied]
  train:
    cmd: cp params.yaml model && cp params.yaml metrics.yaml
    deps: [copied]
    params: [lr, net.depth]
    outs: [model]
    metrics:
    - metrics.yaml:
        cache: false
"""


def make_quick(root: Path, home: Path) -> Desk:
    """Make the project."""
    desk = make_desk(root, home)
    desk.put({"dvc.yaml": DVC_YAML, "params.yaml": "lr: 0.1\nnet: {depth: 3}\nnote: x\n", "raw": "data\n"})
    desk.run("add", "raw")
    desk.run("repro")
    desk.commit_all()
    return desk


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A project with two experiments of HEAD, one and two; tests work on copies."""
    folder = tmp_path_factory.mktemp("made")
    desk = make_quick(folder / "quick", folder / "home")
    desk.run("exp", "run", "--temp", "-S", "lr=0.2", "-n", "one")
    desk.run("exp", "run", "--temp", "-S", "lr=0.3", "-S", "net.depth=4", "-n", "two")
    return desk


@pytest.fixture
def quick(made: Desk, tmp_path: Path) -> Desk:
    """A copy of that project."""
    root = tmp_path / "quick"
    shutil.copytree(made.root, root, symlinks=True)
    return Desk(root, made.home)
