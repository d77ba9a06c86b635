"""Corners of adding, committing and configuring, by both programs: what pointers, ignore files and config become."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.sides import Comparison, Scenario, Side, names
from compat.dvc.tools import Tool, git

pytestmark = pytest.mark.slow
ODD = [
    "a b",
    'q"u',
    "s'x",
    "em\U0001f600",
    "new\nline",
    "back\\slash",
    "#h",
    "!b",
    "[z]",
    "*s",
    "a:b",
    "x" * 200,
]


def odd_names(side: Side) -> object:
    side.put({name: name for name in ODD} | {f"d/{name}/f": name for name in ODD})
    side("add", *(name for name in ODD if "\n" not in name), "d")
    shutil.rmtree(side.root / "d")
    side("checkout")
    return side.json("status")


def names_of_several_lines(side: Side) -> object:
    """Without git, in whose `.gitignore` DVC writes several entries for them."""
    side("config", "core.no_scm", "true")
    shutil.rmtree(side.root / ".git")
    side.put({"new\nline": "1"})
    side("add", "new\nline")
    return side.json("status")


def from_a_directory_below(side: Side) -> object:
    side.put({"s/t/f": "1", "s/g": "2"})
    side("add", "f", "../g", cwd="s/t")
    side.put({"s/g": "3", "s/t/f": "4"})
    return side.json("status", cwd="s"), side.text("status", cwd="s/t"), side.json("data", "status", cwd="s")


def what_dvcignore_excludes(side: Side) -> object:
    side.put({".dvcignore": "d\n", "d/x": "1"})
    side("add", "d")
    side.put({".dvcignore": "d/x\n"})
    side("add", "d/x")
    return None


def what_a_deeper_dvcignore_excludes(side: Side) -> object:
    side.put({"s/.dvcignore": "*.tmp\nold\n", "s/d/x": "1", "s/d/y.tmp": "2", "s/old/f": "3", "t/y.tmp": "4"})
    side("add", "s/d", "t")
    side.put({"s/old/f.dvc": "outs:\n- md5: c4ca4238a0b923820dcc509a6f75849b\n  hash: md5\n  path: f\n"})
    return side.json("status")


def several_outputs_and_a_working_directory(side: Side) -> object:
    side.put({"a": "1", "b": "2", "ab.dvc": "outs:\n- path: a\n- path: b\n"})
    side.put({"s/x": "1", "x.dvc": "wdir: s\nouts:\n- path: x\n"})
    side("commit", "-f")
    side.put({"a": "3"})
    found = side.json("status")
    (side.root / "b").unlink()
    side("checkout", "ab.dvc", "-f")
    return found


def what_git_keeps(side: Side) -> object:
    side.put({"a": "1", "a.dvc": "outs:\n- path: a\n  cache: false\n"})
    side("commit", "-f")
    side.put({"a": "2"})
    return side.json("status"), side("checkout").returncode == 0


def a_list_in_the_pointer(side: Side) -> object:
    side.put({"cv/a": "1", "cv/b": "22"})
    side("add", "cv")
    side.put(
        {
            "cv.dvc": "outs:\n- path: cv\n  hash: md5\n  files:\n"
            "  - relpath: a\n    md5: c4ca4238a0b923820dcc509a6f75849b\n    size: 1\n"
            "  - relpath: b\n    md5: b6d767d2f8ed5d21a44b0e5886680cb9\n    size: 2\n"
        }
    )
    clean = side.json("status")
    side.put({"cv/a": "x"})
    changed = side.json("status")
    side("checkout", "-f", "cv")
    return clean, changed


def objects_of_dvc_2(side: Side) -> object:
    remote = side.with_remote()
    side.put(
        {
            ".dvc/cache/c4/ca4238a0b923820dcc509a6f75849b": "1",
            "x.dvc": "outs:\n- md5: c4ca4238a0b923820dcc509a6f75849b\n  size: 1\n  path: x\n",
        }
    )
    side("checkout")
    side("push")
    pushed = names(remote)
    shutil.rmtree(side.root / ".dvc/cache")
    (side.root / "x").unlink()
    side("pull")
    return pushed, side.json("status", "-c")


def an_import_that_is_behind(side: Side) -> object:
    place = side.beside("source")
    origin = Side(side.tool, place)
    git(place, "init", "-q", "-b", "main")
    origin("init")
    origin.put({"f": "1"})
    origin("add", "f")
    origin.commit_all("1")
    side("import", place, "f")
    before = side.json("status")
    origin.put({"f": "2"})
    origin("add", "f")
    origin.commit_all("2")
    after = side.json("status"), side.json("status", "--no-updates")
    (side.root / "f.dvc").unlink()
    return before, [str(found).replace(str(place), "SOURCE") for found in after]


def options_and_remotes(side: Side) -> object:
    side("config", "core.autostage", "true")
    side("config", "-u", "core.autostage")
    side("config", "cache.type", "hardlink,symlink")
    side("remote", "add", "s", "s3://b/p")
    side("remote", "modify", "s", "region", "eu")
    side("remote", "modify", "s", "no_such_option", "eu")
    side("remote", "add", "-d", "other", "rel/path")
    listed = "".join(side.text("remote", "list").split())  # DVC folds lines at 80 characters, in a path too
    return listed, side.text("remote", "list", "--local")


def without_git_or_a_remote(side: Side) -> object:
    side.put({"x": "1"})
    side("add", "x")
    side("pull")
    side("fetch")
    side("push")
    side("config", "core.no_scm", "true")
    return side("diff").returncode == 0


def limits_of_a_diff(side: Side) -> object:
    side.put({"data/f0": "0", "data/f1": "1"})
    side("add", "data")
    side.commit_all()
    side.put({"data/f0": "changed", "q": "1"})
    (side.root / "data/f1").unlink()
    side("add", "q")
    return (
        side.json("diff", "--targets", "data"),
        side.json("diff", "--targets", "data/f1", "q"),
        side.json("diff", "HEAD", "--targets", "data/f0"),
    )


SCENARIOS: list[Scenario] = [
    odd_names,
    names_of_several_lines,
    from_a_directory_below,
    what_dvcignore_excludes,
    what_a_deeper_dvcignore_excludes,
    several_outputs_and_a_working_directory,
    what_git_keeps,
    a_list_in_the_pointer,
    objects_of_dvc_2,
    an_import_that_is_behind,
    options_and_remotes,
    without_git_or_a_remote,
    limits_of_a_diff,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_do_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(scenario)


@pytest.mark.parametrize("name", ["a\x85b", "a\u2028b", "a\u2029b", "\ufeffa", "a b\x85 " * 12, "trail "])
def test_dvc_reads_the_name_that_was_added(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool, name: str
) -> None:
    root = make_repo("repo", penstock)
    (root / name).write_text("1")
    penstock(root, "add", name)
    (root / name).unlink()
    dvc(root, "checkout")
    assert (root / name).read_text() == "1"
    assert dvc.json(root, "status") == penstock.json(root, "status") == {}
