"""In a clone whose cache is empty reports speak of every file: the lists of directories are read from the remote."""

from __future__ import annotations

import shutil
from pathlib import Path

from .conftest import Desk


def test_reports_know_the_files_of_directories_and_store_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.run("remote", "add", "-d", "r", tmp_path / "remote")
    desk.put({"d/1": "1\n", "d/2": "22\n"})
    desk.run("add", "d")
    desk.run("push")
    desk.commit_all()
    desk.git("tag", "v1")
    (desk.root / "d/1").unlink()
    desk.put({"d/3": "3\n"})
    desk.run("add", "d")
    desk.run("push")
    desk.commit_all()
    desk.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = Desk(tmp_path / "clone", desk.home)
    assert clone.json("diff", "v1", "HEAD") == {
        "added": [{"path": "d/3"}],
        "deleted": [{"path": "d/1"}],
        "modified": [{"path": "d/"}],
        "renamed": [],
    }
    assert clone.json("data", "status", "--granular") == {
        "not_in_cache": ["d/", "d/2", "d/3"],
        "uncommitted": {"deleted": ["d/", "d/2", "d/3"]},
    }
    assert {"path": "d", "size": 5} in clone.json("du", ".")
    assert not (clone.root / ".dvc/cache/files").exists()
    clone.git("config", "--local", "core.quotepath", "false")
    clone.run("config", "core.remote", "nowhere")  # what cannot be asked is no error
    assert clone.json("data", "status", "--granular")["not_in_cache"] == ["d/"]


def test_the_files_that_are_here_tell_what_a_lost_cache_held(desk: Desk) -> None:
    desk.put({"d/1": "1", "d/2": "2"})
    desk.run("add", "d")
    desk.commit_all()
    shutil.rmtree(desk.root / ".dvc/cache")
    assert desk.json("data", "status", "--granular") == {"not_in_cache": ["d/", "d/1", "d/2"]}


def test_a_pointer_without_a_hash_is_modified_where_something_is(desk: Desk) -> None:
    desk.put({"f.dvc": "outs:\n- hash: md5\n  path: f\n", "f": "hi"})
    assert desk.json("status") == {"f.dvc": [{"changed outs": {"f": "modified"}}]}


def test_lists_in_pointers_answer_where_nothing_else_is(desk: Desk) -> None:
    desk.put(
        {
            "cv.dvc": "outs:\n- path: cv\n  hash: md5\n  files:\n"
            "  - relpath: a\n    md5: b026324c6904b2a9cb4b88d6d61c81d1\n    size: 2\n"
            "  - relpath: sub/b\n    md5: 26ab0db90d72e28ad0ba1e22ee510510\n    size: 3\n"
        }
    )
    desk.commit_all()
    assert desk.json("data", "status", "--granular")["uncommitted"] == {
        "deleted": ["cv/", "cv/a", "cv/sub/b"]
    }
    assert {"cv/a", "cv/sub/b"} <= {one["path"] for one in desk.json("list", ".", "-R")}
    assert {"path": "cv", "size": 5} in desk.json("du", ".")
    assert [one["path"] for one in desk.json("diff", "HEAD")["deleted"]] == ["cv/", "cv/a", "cv/sub/b"]
