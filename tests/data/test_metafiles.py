"""Definitions of pipelines: all of them by one walk, or those around a path without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import Conflict
from penstock.data.pointers.metafiles import definitions_above, find_definitions
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.flows.tracked.selection import made_outputs

from .conftest import write_files

STAGE = "stages:\n  make:\n    cmd: 'true'\n    outs: [{name}]\n"


def relative(repo: DataRepository, paths: tuple[Path, ...]) -> list[str]:
    return [repo.relative(path) for path in paths]


def test_the_ones_around_a_path_are_found_without_looking_elsewhere(repo: DataRepository) -> None:
    names = ("dvc.yaml", "a/dvc.yaml", "a/b/dvc.yaml", "other/dvc.yaml")
    write_files(repo.root, {name: STAGE.format(name="out") for name in names})
    assert relative(repo, definitions_above(repo, [repo.root / "a/b/c/data"])) == sorted(
        ["a/b/dvc.yaml", "a/dvc.yaml", "dvc.yaml"], key=lambda name: (name != "dvc.yaml", name)
    )
    assert relative(repo, definitions_above(repo, [repo.root / "x"])) == ["dvc.yaml"]
    assert set(relative(repo, find_definitions(repo))) == set(names)


def test_what_a_pipeline_around_it_makes_is_not_added(repo: DataRepository) -> None:
    write_files(repo.root, {"a/dvc.yaml": STAGE.format(name="b/out"), "a/b/out": "1"})
    path = repo.root / "a/b/out"
    with pytest.raises(Conflict, match="make"):
        add_path(repo, path, lambda: made_outputs(repo, [path]))
