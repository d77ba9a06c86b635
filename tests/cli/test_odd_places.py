"""What is unreadable, or neither a file nor a directory, is named: nothing waits, and nothing is taken for empty."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from .conftest import Desk


def test_an_unreadable_dvcignore_hides_nobody_knows_what(desk: Desk) -> None:
    desk.put({".dvcignore": "*.log\n", "d/a": "1", "d/secret.log": "2"})
    (desk.root / ".dvcignore").chmod(0)
    desk.obey_modes()
    assert f"no permission to read {desk.root}/.dvcignore" in desk.error("add", "d")
    assert not (desk.root / "d.dvc").exists()


def test_an_unreadable_object_is_named(desk: Desk) -> None:
    desk.put({"f": "1"})
    desk.run("add", "f")
    (desk.root / "f").unlink()
    stored = desk.root / ".dvc/cache/files/md5/c4/ca4238a0b923820dcc509a6f75849b"
    stored.chmod(0)
    desk.obey_modes()
    said = desk.error("checkout")
    assert "object c4ca4238a0b923820dcc509a6f75849b cannot be read" in said
    assert str(stored) in said


def test_an_unreadable_list_of_files_is_named(desk: Desk) -> None:
    desk.put({"d/f": "1"})
    desk.run("add", "d")
    (desk.root / "d/f").unlink()
    stored = next((desk.root / ".dvc/cache/files/md5").glob("*/*.dir"))
    stored.chmod(0)
    desk.obey_modes()
    assert f"cannot be read: no permission for {stored}" in desk.error("checkout")


@pytest.mark.parametrize("name", ["pipe", "d/pipe", "link"])
def test_a_named_pipe_is_not_added(desk: Desk, name: str) -> None:
    desk.put({"d/a": "1"})
    desk.run("add", "d")
    (desk.root / "link").symlink_to("real")
    os.mkfifo(desk.root / {"link": "real"}.get(name, name))
    assert f"{name} is a named pipe, not a file or directory" in desk.error("add", name)


def test_a_socket_is_not_added(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.root)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("s")
        assert "s is a socket, not a file or directory" in desk.error("add", "s")


@pytest.mark.parametrize("tracked", ["f", "d"])
def test_a_named_pipe_in_the_place_of_data_stops_nobody(desk: Desk, tracked: str) -> None:
    desk.put({"f": "1", "d/a": "1"})
    desk.run("add", tracked)
    desk.commit_all()
    (desk.root / tracked).rename(desk.root / "away")
    os.mkfifo(desk.root / tracked)
    assert desk.json("status") == {f"{tracked}.dvc": [{"changed outs": {tracked: "modified"}}]}
    said = f"{tracked} is a named pipe, not a file or directory"
    for words in (["commit", "-f"], ["diff"], ["data", "status"], ["data", "status", "--granular"]):
        assert said in desk.error(*words)
    assert f"work that is stored nowhere else: {tracked}" in desk.error("checkout")
    desk.run("checkout", "--force")
    assert desk.json("status") == {}
    kept: Path = next((desk.root / ".dvc/tmp/penstock-kept").glob("*/*"))
    assert kept.is_fifo()


def test_a_named_pipe_in_the_place_of_data_of_dvc_2(desk: Desk) -> None:
    desk.put({"f.dvc": "outs:\n- md5: c4ca4238a0b923820dcc509a6f75849b\n  path: f\n"})
    desk.put({".dvc/cache/c4/ca4238a0b923820dcc509a6f75849b": "1"})
    desk.commit_all()
    os.mkfifo(desk.root / "f")
    for words in (["diff"], ["data", "status"]):
        assert "f is a named pipe, not a file or directory" in desk.error(*words)
    assert "work that is stored nowhere else: f" in desk.error("checkout")


def test_a_named_pipe_that_is_called_like_a_pointer_is_named(desk: Desk) -> None:
    os.mkfifo(desk.root / "x.dvc")
    assert "x.dvc is a named pipe" in desk.error("status")


@pytest.mark.parametrize("words", [("commit", "-f"), ("add", "d")])
def test_a_linked_directory_is_not_stored(desk: Desk, words: tuple[str, ...]) -> None:
    desk.put({"d/a": "1", "victim/b": "2"})
    desk.run("add", "d")
    (desk.root / "d/a").unlink()
    (desk.root / "d").rmdir()
    (desk.root / "victim").rename(desk.root.with_name("victim"))
    (desk.root / "d").symlink_to("../victim")
    assert "d is a symbolic link to a directory" in desk.error(*words)
    assert not (desk.root / ".dvc/cache/files/md5/c8").exists()


def test_a_linked_directory_inside_a_tracked_one_is_not_stored(desk: Desk) -> None:
    desk.put({"d/a": "1"})
    desk.run("add", "d")
    desk.root.with_name("victim").mkdir()
    (desk.root.with_name("victim") / "b").write_text("2")
    (desk.root / "d/s").symlink_to("../../victim")
    assert "d/s is a symbolic link to a directory" in desk.error("add", "d/s")
    assert not (desk.root / ".dvc/cache/files/md5/c8").exists()


def test_a_link_to_a_file_is_committed(desk: Desk) -> None:
    desk.put({"f": "1", "other": "2"})
    desk.run("add", "f")
    (desk.root / "f").unlink()
    (desk.root / "f").symlink_to("other")
    desk.run("commit", "-f")
    assert desk.json("status") == {}
