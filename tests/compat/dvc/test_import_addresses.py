"""Relative addresses of imports: what either tool imported or moved, both update from the repository's root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compat.dvc.tools import Tool, git

pytestmark = [pytest.mark.slow, pytest.mark.dvc("real")]


@pytest.fixture
def here(make_repo, penstock: Tool) -> Path:  # type: ignore[no-untyped-def]
    """A repository beside its source `so`, which tracks `d` and `f`."""
    source, root = Path(make_repo("so", penstock)), Path(make_repo("here", penstock))
    change(source, penstock, "1")
    (root / "sub" / "deep").mkdir(parents=True)
    return root


def change(source: Path, penstock: Tool, text: str) -> None:
    (source / "d").mkdir(exist_ok=True)
    (source / "d" / "a").write_text(text)
    (source / "f").write_text(text)
    penstock(source, "add", "d", "f")
    git(source, "add", "-A")
    git(source, "commit", "-qm", text)


def test_what_either_imports_is_updated_by_both_from_the_root(here: Path, dvc: Tool, penstock: Tool) -> None:
    tools = (dvc, penstock)
    for tool in tools:
        tool(here, "import", "../so", "d", "-o", f"{tool.name}-d")
        tool(here, "import", "../so", "f", "-o", f"sub/deep/{tool.name}-f")
    penstock(here / "sub", "import", "../../so", "f", "-o", "from-sub")
    penstock(here / "sub", "import", "../../so", "d", "-o", "../from-sub-d")
    dvc(here, "move", "dvc-d", "sub/dvc-d")
    penstock(here, "move", "penstock-d", "sub/deep/penstock-d")
    moved = here / "sub" / "deep"
    pointers = sorted(os.path.relpath(path, here) for path in here.rglob("*.dvc") if path.is_file())
    assert len(pointers) == 6
    for text, tool in enumerate((dvc, penstock, dvc, penstock), start=2):
        change(here.parent / "so", penstock, str(text))
        assert len(penstock.json(here, "status")) == 6
        tool(here, "update", *pointers)
        assert penstock.json(here, "status") == {}
        found = {(here / one.removesuffix(".dvc")) for one in pointers}
        assert {(path / "a" if path.is_dir() else path).read_text() for path in found} == {str(text)}
    assert (moved / "penstock-d" / "a").exists()
    change(here.parent / "so", penstock, "last")
    penstock(here / "sub", "update", "from-sub.dvc", "deep/penstock-d.dvc", "../from-sub-d.dvc")
    assert (here / "from-sub-d" / "a").read_text() == (here / "sub" / "from-sub").read_text() == "last"


def test_what_dvc_imports_in_a_directory_is_found_from_anywhere_and_mended_by_move(
    here: Path, dvc: Tool, penstock: Tool
) -> None:
    dvc(here / "sub", "import", "../../so", "d", "-o", "dd")
    change(here.parent / "so", penstock, "2")
    dvc(here, "update", "sub/dd.dvc", ok=False)
    penstock(here, "update", "sub/dd.dvc")
    assert (here / "sub" / "dd" / "a").read_text() == "2"
    penstock(here, "move", "sub/dd", "sub/deep/ee")
    change(here.parent / "so", penstock, "3")
    dvc(here, "update", "sub/deep/ee.dvc")
    assert (here / "sub" / "deep" / "ee" / "a").read_text() == "3"
    change(here.parent / "so", penstock, "4")
    penstock(here, "update", "sub/deep/ee.dvc")
    assert (here / "sub" / "deep" / "ee" / "a").read_text() == "4"


def test_of_two_repositories_that_an_address_may_mean_the_one_with_the_locked_commit_is_meant(
    here: Path, dvc: Tool, penstock: Tool, make_repo
) -> None:  # type: ignore[no-untyped-def]
    """`../so` in a directory: one beside the root, another at the root."""
    inner = here / "so"
    (here.parent / "so").rename(inner)
    dvc(here / "sub", "import", "../so", "d", "-o", "dd")
    change(Path(make_repo("so", penstock)), penstock, "wrong")
    change(inner, penstock, "right")
    penstock(here, "update", "sub/dd.dvc")
    assert (here / "sub" / "dd" / "a").read_text() == "right"


def test_a_source_that_is_gone_is_told_with_the_import_s_path(here: Path, penstock: Tool) -> None:
    penstock(here, "import", "../so", "f", "-o", "sub/deep/f")
    (here.parent / "so").rename(here.parent / "gone")
    assert "sub/deep/f.dvc: there is no repository at ../so" in penstock.run(here, "status").stderr
    told = penstock.run(here, "update", "sub/deep/f.dvc")
    assert told.returncode == 1
    assert "sub/deep/f.dvc" in told.stderr and "../so" in told.stderr
