"""DVC's users write `-q`, `-v` and `--cd` after the command's name; both places work."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli.main import run


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert run(["init", "-q", "--no-scm"]) == 0
    (tmp_path / "data.txt").write_text("x")
    return tmp_path


def test_quiet_after_the_name_prints_nothing(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["add", "-q", "data.txt"]) == 0
    assert run(["remote", "add", "-q", "-d", "store", str(repo / "store")]) == 0
    assert run(["push", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_status_keeps_its_own_quiet(repo: Path) -> None:
    assert run(["add", "-q", "data.txt"]) == 0
    assert run(["status", "-q"]) == 0
    (repo / "data.txt").write_text("y")
    assert run(["status", "-q"]) == 1


def test_a_directory_after_the_name(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "inner").mkdir()
    assert run(["root", "--cd", "inner"]) == 0
    assert capsys.readouterr().out.strip() == ".."
    assert run(["root", "--cd", "nowhere"]) == 2
