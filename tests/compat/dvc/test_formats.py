"""What Penstock writes is byte for byte what DVC writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compat.dvc.samples import ODD_NAMES, odd_directory, plain_directory
from compat.dvc.tools import Tool, cache_of, git, listing

pytestmark = pytest.mark.slow


def pointers_of(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and (path.name.endswith(".dvc") or path.name == ".gitignore")
    }


def same_by_both(make_repo, dvc: Tool, penstock: Tool, prepare, *targets: str) -> tuple[Path, Path]:  # type: ignore[no-untyped-def]
    roots = []
    for tool in (dvc, penstock):
        root = make_repo(tool.name, tool)
        prepare(root)
        tool(root, "add", *targets)
        roots.append(root)
    theirs, ours = roots
    assert pointers_of(ours) == pointers_of(theirs)
    assert cache_of(ours) == cache_of(theirs)
    return theirs, ours


def test_init_makes_the_same_files(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = make_repo("a", dvc), make_repo("b", penstock)
    assert git(ours, "ls-files", "-s") == git(theirs, "ls-files", "-s")


def test_init_without_git_makes_the_same_files(tmp_path: Path, dvc: Tool, penstock: Tool) -> None:
    found = []
    for tool in (dvc, penstock):
        root = tmp_path / tool.name
        root.mkdir()
        tool(root, "init", "--no-scm")
        found.append({k: v for k, v in listing(root).items() if "tmp/" not in k})
    assert found[0] == found[1]


def test_a_directory(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = same_by_both(make_repo, dvc, penstock, lambda root: plain_directory(root / "data"), "data")
    assert dvc.json(ours, "status") == {} == penstock.json(theirs, "status")


def test_files_of_every_kind(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    def prepare(root: Path) -> None:
        plain_directory(root / "d")

    same_by_both(make_repo, dvc, penstock, prepare, "d/run.sh", "d/zero", "d/crlf.txt", "d/sub/deep/z")


def test_odd_names_inside_a_directory(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = same_by_both(make_repo, dvc, penstock, lambda root: odd_directory(root / "odd"), "odd")
    assert dvc.json(ours, "status") == {} == penstock.json(theirs, "status")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in ODD_NAMES  # what DVC writes for the last two git reads as another name
        if len(name) < 200 and not name.startswith("-") and "\n" not in name and not name.endswith(" ")
    ],
)
def test_odd_names_of_single_files(make_repo, dvc: Tool, penstock: Tool, name: str) -> None:  # type: ignore[no-untyped-def]
    same_by_both(make_repo, dvc, penstock, lambda root: (root / name).write_text("x"), name)


def test_long_paths_fold_like_dvc(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    name = " ".join(["word"] * 40)
    same_by_both(make_repo, dvc, penstock, lambda root: (root / name).write_text("x"), name)


def test_an_edited_pointer_keeps_comments_and_meta(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    found = []
    for tool in (dvc, penstock):
        root = make_repo(tool.name, tool)
        (root / "x").write_text("one")
        tool(root, "add", "x")
        text = (root / "x.dvc").read_text()
        text = "# first\n" + text.replace(
            "  path: x\n", "  path: x # here\n  desc: what it is\n  remote: r\n"
        )
        (root / "x.dvc").write_text(text + "meta:\n  owner: me # kept\n  list: [1, 2]\ndesc: whole\n")
        (root / "x").write_text("two")
        tool(root, "add", "x")
        found.append((root / "x.dvc").read_bytes())
    assert found[0] == found[1]


def test_gitignore_without_a_last_newline(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    def prepare(root: Path) -> None:
        (root / ".gitignore").write_text("*.log")
        (root / "x").write_text("x")
        (root / "y.log").write_text("y")

    same_by_both(make_repo, dvc, penstock, prepare, "x", "y.log")


def test_remotes_are_configured_alike(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    found = []
    for tool in (dvc, penstock):
        root = make_repo(tool.name, tool)
        (root / "sub").mkdir()
        tool(root, "remote", "add", "-d", "one", "../elsewhere")
        tool(root / "sub", "remote", "add", "two", "here")
        tool(root, "remote", "add", "cloud", "s3://bucket/prefix")
        tool(root, "remote", "modify", "cloud", "endpointurl", "http://127.0.0.1:1")
        tool(root, "remote", "modify", "--local", "cloud", "secret_access_key", "s#e,c'ret")
        tool(root, "remote", "rename", "two", "three")
        tool(root, "remote", "remove", "one")
        tool(root, "remote", "default", "three")
        found.append([(root / ".dvc" / name).read_bytes() for name in ("config", "config.local")])
    assert found[0] == found[1]


def test_links_have_dvcs_modes(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    for kind in ("hardlink", "symlink", "copy"):
        found = []
        for tool in (dvc, penstock):
            root = make_repo(f"{tool.name}-{kind}", tool)
            with (root / ".dvc" / "config").open("a") as file:
                file.write(f"[cache]\n    type = {kind}\n")
            plain_directory(root / "d")
            tool(root, "add", "d")
            seen = {}
            for path in sorted((root / "d").rglob("*")):
                if path.is_file():
                    info = os.lstat(path)
                    seen[path.relative_to(root).as_posix()] = (oct(info.st_mode), info.st_nlink)
            found.append(seen)
        if kind == "copy":  # DVC copies the directory anew and loses the executable bit; ours is left alone
            found = [{name: link for name, (_, link) in seen.items()} for seen in found]
        assert found[0] == found[1], kind


@pytest.mark.parametrize("comment", ["", "# kept\n"])
def test_a_file_that_became_executable(make_repo, dvc: Tool, penstock: Tool, comment: str) -> None:  # type: ignore[no-untyped-def]
    found = []
    for tool in (dvc, penstock):
        root = make_repo(tool.name, tool)
        (root / "run.sh").write_text("echo\n")
        tool(root, "add", "run.sh")
        (root / "run.sh.dvc").write_text(comment + (root / "run.sh.dvc").read_text())
        (root / "run.sh").chmod(0o755)
        tool(root, "add", "run.sh")
        found.append((root / "run.sh.dvc").read_bytes())
    assert found[0] == found[1]
