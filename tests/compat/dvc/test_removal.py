"""What `remove` leaves in the workspace, by both programs, for each way the cache gives files out."""

from __future__ import annotations

import pytest

from compat.dvc.sides import Comparison, Side

pytestmark = pytest.mark.slow


def removed(side: Side, kind: str) -> object:
    side("config", "cache.type", kind)
    side.put({"f": "file", "d/a": "a", "d/s/b": "b"})
    side("add", "f", "d")
    side("remove", "f.dvc", "d.dvc")
    side("gc", "-w", "-f")
    return [(side.root / name).read_text() for name in ("f", "d/a", "d/s/b")]


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "copy"])
def test_what_was_tracked_becomes_files_of_their_own(compare: Comparison, kind: str) -> None:
    compare(removed, kind)
