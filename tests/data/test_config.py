"""DVC's configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import Invalid, NotFound
from penstock.data.configuration.config import load_config, read_level, set_value
from penstock.data.repository import DataRepository


def test_local_wins_over_repository(tmp_path: Path) -> None:
    dvc = tmp_path / ".dvc"
    dvc.mkdir()
    (dvc / "config").write_text(
        "['remote \"r\"']\n    url = ../store\n    jobs = 2\n[core]\n    remote = r\n"
    )
    (dvc / "config.local").write_text("['remote \"r\"']\n    jobs = 9\n")
    config = load_config(dvc)
    assert config.remotes()["r"] == {"url": str(tmp_path / "store"), "jobs": "9"}
    assert config.get("core", "remote") == "r"


def test_values_are_read_as_configobj_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        '[cache]\n    type = "hardlink,symlink"\n[core]\n  # note\n    remote = "a b"   # trailing\n'
    )
    assert read_level(path) == {"cache": {"type": "hardlink,symlink"}, "core": {"remote": "a b"}}


def test_an_edit_keeps_comments(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("# mine\n[core]\n    # why\n    remote = a\n")
    set_value(path, "core", "remote", "b")
    assert path.read_text() == "# mine\n[core]\n    # why\n    remote = b\n"


@pytest.mark.parametrize("text", ["[core\n", "no section\n", "\xff\xfe", "[a]\n[a]\n"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Invalid, match="config"):
        read_level(path)


def test_a_missing_remote_says_what_to_do(repo: DataRepository) -> None:
    with pytest.raises(NotFound) as caught:
        repo.remote()
    assert caught.value.hint == "penstock remote add -d NAME URL"
