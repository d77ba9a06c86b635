"""A remembered call does again what the program did, and is not found in any other state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.remembered import Remembered, look
from compat.dvc.tools import Tool, git
from facts import RECORD


def test_a_call_is_done_again_elsewhere_and_only_in_the_same_state(
    make_repo: Callable[[str, Tool], Path], penstock: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(number: int) -> tuple[Remembered, Path]:
        place = tmp_path / f"{'long-' * number}place"
        place.mkdir()
        root = make_repo(f"{place.name}/repo", penstock)
        (root / "data").mkdir()
        for name in ("a", "ü b"):
            (root / "data" / name).write_bytes(name.encode() * 100)
        (root / "twin").hardlink_to(root / "data" / "a")
        (root / "binary").write_bytes(b"\0\xff")
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        calls = Remembered(penstock.server, [place], home, tmp_path / "calls.json", "test")
        return calls, root

    def call(calls: Remembered, root: Path, *words: str) -> tuple[int, str]:
        done = calls.run(words, cwd=root, env=penstock.environment)
        return done.returncode, done.stdout.replace(str(root), "ROOT")

    steps = [("add", "data", "binary"), ("add", "nothing"), ("status", "--json"), ("remove", "binary.dvc")]
    monkeypatch.setenv(RECORD, "1")
    calls, first = begin(0)
    said = [call(calls, first, *words) for words in steps]
    calls.save()
    monkeypatch.setenv(RECORD, "0")
    again, second = begin(1)
    again.live = None
    assert [call(again, second, *words) for words in steps] == said
    assert [code for code, _ in said] != [0, 0, 0, 0]
    assert look([second.parent]) == look([first.parent])
    assert git(second, "ls-files") == git(first, "ls-files")
    changes: list[Callable[[Path], object]] = [
        lambda root: (root / "data" / "ü b").write_bytes(b"one byte else"),
        lambda root: (root / "binary").chmod(0o755),
        lambda root: (root / "twin").unlink(),
        lambda root: git(root, "commit", "-q", "--allow-empty", "-m", "history"),
        lambda root: (root / "empty").mkdir(),
    ]
    for number, change in enumerate(changes, start=2):
        other, root = begin(number)
        change(root)
        with pytest.raises(pytest.fail.Exception, match="make test-real"):
            call(other, root, *steps[0])
