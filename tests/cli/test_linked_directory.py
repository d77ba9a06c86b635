"""A tracked directory that its user moved elsewhere and linked back does not stop the rest."""

from __future__ import annotations

import os

from .conftest import Desk


def test_it_is_left_alone_while_nothing_has_to_be_written(desk: Desk) -> None:
    desk.put({"d/a": "1", "f": "2"})
    desk.run("add", "d", "f")
    (desk.root / "d").rename(desk.root.with_name("elsewhere"))
    os.symlink("../elsewhere", desk.root / "d")
    (desk.root / "f").unlink()
    assert desk.json("checkout")["added"] == ["f"]
    (desk.root / "d/a").unlink()
    assert "d is a symbolic link" in desk.error("checkout")
    assert list(desk.root.with_name("elsewhere").iterdir()) == []
