"""Outputs that no remote is expected to have are left out and named; what is recorded nowhere is no success."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Desk

STAGE = "stages:\n  s: {cmd: echo 1 > a; echo 2 > b, outs: [a, {b: {push: false}}]}\n"


def test_a_clone_pulls_what_was_pushed_and_says_what_was_not(desk: Desk, tmp_path: Path) -> None:
    desk.run("remote", "add", "-d", "r", tmp_path / "remote")
    desk.put({"dvc.yaml": STAGE})
    desk.run("repro")
    desk.run("push")
    desk.commit_all()
    desk.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = Desk(tmp_path / "clone", desk.home)
    assert "b is never pushed" in clone.run("pull").stderr
    assert (clone.root / "a").read_text() == "1\n"
    assert not (clone.root / "b").exists()
    assert "penstock repro s makes b" in clone.error("pull", "b")
    assert "penstock repro s" in clone.error("checkout")
    clone.run("pull", "a")
    clone.run("repro")
    assert (clone.root / "b").read_text() == "2\n"
    clone.run("pull", "b")


@pytest.mark.parametrize("verb", ["pull", "checkout"])
def test_what_is_recorded_nowhere_is_named(desk: Desk, tmp_path: Path, verb: str) -> None:
    desk.run("remote", "add", "-d", "r", tmp_path / "remote")
    desk.put({"f": "1", "dvc.yaml": STAGE, "g.dvc": "outs:\n- hash: md5\n  path: g\n"})
    desk.run("add", "f")
    desk.run("push", "f")
    (desk.root / "f").unlink()
    assert "what g, a, b should hold" in desk.error(verb)
    assert "or penstock repro s" in desk.error(verb, "b")
    assert not (desk.root / "f").exists()
    desk.run(verb, "f")
    desk.run(verb, "--allow-missing")
    desk.put({"a": "by hand", "b": "by hand", "g": "by hand"})
    desk.run(verb)
    assert (desk.root / "a").read_text() == "by hand"
