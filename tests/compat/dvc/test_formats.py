"""What Penstock writes is byte for byte what DVC writes."""

from __future__ import annotations

import os

import pytest

from compat.dvc.samples import ODD_NAMES, odd_directory, plain_directory
from compat.dvc.sides import Comparison, Scenario, Side
from compat.dvc.tools import git, listing

pytestmark = pytest.mark.slow


def a_new_repository(side: Side) -> object:
    return git(side.root, "ls-files", "-s")


def a_repository_without_git(side: Side) -> object:
    place = side.beside("bare")
    side.tool(place, "init", "--no-scm")
    return {name: item for name, item in listing(place).items() if "tmp/" not in name}


def a_directory(side: Side) -> object:
    plain_directory(side.root / "data")
    side("add", "data")
    return side.json("status")


def files_of_every_kind(side: Side) -> None:
    plain_directory(side.root / "d")
    side("add", "d/run.sh", "d/zero", "d/crlf.txt", "d/sub/deep/z")
    (side.root / "d/run.sh").chmod(
        0o644
    )  # DVC copies it anew and loses the executable bit; ours is left alone


def odd_names_inside_a_directory(side: Side) -> object:
    odd_directory(side.root / "odd")
    side("add", "odd")
    return side.json("status")


def odd_names_of_single_files(side: Side) -> None:
    """Each in a directory of its own, with a pointer and a .gitignore; what DVC writes of the rest git reads otherwise."""
    names = [name for name in ODD_NAMES if len(name) < 200 and name[0] != "-" and "\n" not in name]
    for number, name in enumerate(name for name in names if not name.endswith(" ")):
        side.put({f"{number}/{name}": "x"})
        side("add", f"{number}/{name}")


def long_paths(side: Side) -> None:
    name = " ".join(["word"] * 40)
    side.put({name: "x"})
    side("add", name)


def an_edited_pointer(side: Side) -> None:
    side.put({"x": "one"})
    side("add", "x")
    text = (side.root / "x.dvc").read_text()
    text = "# first\n" + text.replace("  path: x\n", "  path: x # here\n  desc: what it is\n  remote: r\n")
    side.put({"x.dvc": text + "meta:\n  owner: me # kept\n  list: [1, 2]\ndesc: whole\n", "x": "two"})
    side("add", "x")


def a_gitignore_without_a_last_newline(side: Side) -> None:
    side.put({".gitignore": "*.log", "x": "x", "y.log": "y"})
    side("add", "x", "y.log")


def remotes(side: Side) -> object:
    (side.root / "sub").mkdir()
    side("remote", "add", "-d", "one", "../elsewhere")
    side("remote", "add", "two", "here", cwd="sub")
    side("remote", "add", "cloud", "s3://bucket/prefix")
    side("remote", "modify", "cloud", "endpointurl", "http://127.0.0.1:1")
    side("remote", "modify", "--local", "cloud", "secret_access_key", "s#e,c'ret")
    side("remote", "rename", "two", "three")
    side("remote", "remove", "one")
    side("remote", "default", "three")
    return (side.root / ".dvc/config.local").read_text()


def a_file_that_became_executable(side: Side) -> None:
    for name, comment in (("run.sh", ""), ("other.sh", "# kept\n")):
        side.put({name: "echo\n"})
        side("add", name)
        side.put({f"{name}.dvc": comment + (side.root / f"{name}.dvc").read_text()})
        (side.root / name).chmod(0o755)
        side("add", name)
        (side.root / name).chmod(0o644)


SCENARIOS: list[Scenario] = [
    a_new_repository,
    a_repository_without_git,
    a_directory,
    files_of_every_kind,
    odd_names_inside_a_directory,
    odd_names_of_single_files,
    long_paths,
    an_edited_pointer,
    a_gitignore_without_a_last_newline,
    remotes,
    a_file_that_became_executable,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_write_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(scenario)


def modes_of_links(side: Side, kind: str) -> object:
    with (side.root / ".dvc" / "config").open("a") as file:
        file.write(f"[cache]\n    type = {kind}\n")
    plain_directory(side.root / "d")
    side("add", "d")
    seen = {}
    for path in sorted((side.root / "d").rglob("*")):
        if path.is_file():
            info = os.lstat(path)
            # DVC copies a directory anew and loses the executable bit; ours is left alone
            seen[path.relative_to(side.root).as_posix()] = (
                "" if kind == "copy" else oct(info.st_mode),
                info.st_nlink,
            )
            if kind == "copy":
                path.chmod(0o644)
    return seen


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "copy"])
def test_links_have_dvcs_modes(compare: Comparison, kind: str) -> None:
    compare(modes_of_links, kind)
