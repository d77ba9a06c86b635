"""Pointers that git ignores are nobody's: they are passed over, and none is written."""

from __future__ import annotations

from .conftest import Desk


def test_none_is_read(desk: Desk) -> None:
    desk.put({".gitignore": "venv\n", "venv/x.dvc": "not: [yaml"})
    assert desk.json("status") == {}


def test_none_is_written(desk: Desk) -> None:
    desk.put({".gitignore": "out\n*.csv.dvc\n", "out/x": "1", "d.csv": "2", "f": "3", "d/a": "4"})
    assert "git would ignore out/x.dvc" in desk.error("add", "out/x")
    assert "git would ignore d.csv.dvc" in desk.error("add", "d.csv")
    desk.run("add", "f", "d")
    assert "git would ignore out/f.dvc" in desk.error("move", "f", "out/f")
    assert "git would ignore out/y.dvc" in desk.error("import-url", "../repo/f", "out/y")
    assert "is inside d, which is tracked" in desk.error("move", "f", "d/f", code=4)
    assert desk.json("status") == {}
    assert (desk.root / "f").read_text() == "3"
