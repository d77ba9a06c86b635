"""What `remove` leaves in the workspace, by both programs, for each way the cache gives files out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.conftest import Tool
from compat.dvc.sides import Side, assert_same

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "copy"])
def test_what_was_tracked_becomes_files_of_their_own(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool, kind: str
) -> None:
    def scenario(side: Side) -> object:
        side("config", "cache.type", kind)
        side.put({"f": "file", "d/a": "a", "d/s/b": "b"})
        side("add", "f", "d")
        side("remove", "f.dvc", "d.dvc")
        side("gc", "-w", "-f")
        return [(side.root / name).read_text() for name in ("f", "d/a", "d/s/b")]

    assert_same(make_repo, dvc, penstock, scenario)
