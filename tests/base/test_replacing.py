"""What is built beside its place appears there whole; a kill at any step leaves the old or the new one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.base import replacing
from penstock.base.errors import Conflict
from penstock.base.replacing import appearing


def folder(path: Path, text: str) -> None:
    path.mkdir()
    (path / "file").write_text(text)


def file(path: Path, text: str) -> None:
    path.write_text(text)


def link(path: Path, text: str) -> None:
    path.symlink_to(f"nowhere-{text}")


def look(path: Path) -> str:
    if path.is_symlink():
        return f"link {os.readlink(path)}"
    return f"folder {(path / 'file').read_text()}" if path.is_dir() else f"file {path.read_text()}"


KINDS: dict[str, Callable[[Path, str], None]] = {"folder": folder, "file": file}
BEFORE: dict[str, Callable[[Path, str], None]] = {**KINDS, "link": link}


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture(params=["exchange", "aside"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "aside":
        monkeypatch.setattr(replacing, "_LIBC", None)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_files_and_directories_replace_each_other_and_leave_nothing_beside(tmp_path: Path) -> None:
    for after, build in KINDS.items():
        for before, make in (*BEFORE.items(), ("nothing", None)):
            home = tmp_path / f"{after}-{before}"
            home.mkdir()
            if make is not None:
                make(home / "x", "old")
                with pytest.raises(Conflict), appearing(home / "x", force=False):
                    raise AssertionError("unreachable")
                assert "old" in look(home / "x")
            with appearing(home / "x", force=True) as temporary:
                build(temporary, "new")
            assert look(home / "x") == f"{after} new"
            assert os.listdir(home) == ["x"]


@pytest.mark.usefixtures("way")
def test_a_failure_while_building_changes_nothing(tmp_path: Path) -> None:
    folder(tmp_path / "x", "old")
    with pytest.raises(OSError, match="full"), appearing(tmp_path / "x", force=True) as temporary:
        folder(temporary, "half")
        raise OSError("full")
    assert look(tmp_path / "x") == "folder old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_kill_between_any_two_steps_leaves_the_old_or_the_new_one(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is there after a kill, or after the next call looked, is whole: never nothing, never a part."""
    original, steps = Path.rename, {"exchange": 1, "aside": 4}[way]
    for killed_at in range(steps):
        home = tmp_path / str(killed_at)
        home.mkdir()
        folder(home / "x", "old")
        count = 0

        def step(*_: object, at: int = killed_at) -> None:
            nonlocal count
            count += 1
            if count == at + 1:
                raise Killed

        def rename(self: Path, target: Path) -> Path:
            step()
            renamed = original(self, target)
            step()
            return renamed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Path, "rename", rename)
            patch.setattr(replacing, "remove_path", lambda _path: step())
            with appearing(home / "x", force=True) as temporary:
                folder(temporary, "new")
        replacing._recover(home / "x")
        assert look(home / "x") in {"folder old", "folder new"}
        with appearing(home / "x", force=True) as temporary:
            folder(temporary, "newer")
        assert look(home / "x") == "folder newer"
        assert not [name for name in os.listdir(home) if name.endswith(".replaced")]
        shutil.rmtree(home)
