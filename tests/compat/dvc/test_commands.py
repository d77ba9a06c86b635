"""The smaller commands: the same files, words and exit codes from both tools."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compat.dvc.samples import plain_directory
from compat.dvc.tools import Tool, copy_tree, git, listing

pytestmark = [pytest.mark.slow, pytest.mark.dvc("remembered")]


def both(root: Path, dvc: Tool, penstock: Tool, *arguments: str) -> tuple[Path, Path]:
    """Run the same command by each tool on its own copy of `root`; return the copies."""
    copies = root.with_name("by-dvc"), root.with_name("by-penstock")
    for tool, copy in zip((dvc, penstock), copies, strict=True):
        if not copy.exists():
            copy_tree(root, copy)
        tool(copy, *arguments)
    return copies


def workspace(root: Path) -> dict[str, tuple[bytes, int]]:
    found = listing(root)
    return {name: item for name, item in found.items() if not name.startswith((".git/", ".dvc/tmp/"))}


@pytest.fixture
def repo(make_repo, penstock: Tool) -> Path:  # type: ignore[no-untyped-def]
    root = make_repo("repo", penstock)
    plain_directory(root / "data")
    (root / "model.bin").write_bytes(b"model")
    penstock(root, "add", "data", "model.bin")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "data")
    return root


@pytest.mark.parametrize("pair", ["model.bin other.bin", "model.bin sub", "data moved", "data sub/inner"])
def test_moving_gives_the_same_files(repo: Path, dvc: Tool, penstock: Tool, pair: str) -> None:
    (repo / "sub").mkdir()
    ours, theirs = both(repo, dvc, penstock, "move", *pair.split())
    assert workspace(ours) == workspace(theirs)
    assert dvc.json(theirs, "status") == {}


CONFIGS = [
    "core.autostage true",
    "cache.type hardlink,symlink",
    "cache.dir ../elsewhere",
    "--local core.remote none",
    "remote.store.url ../rel",
    "exp.auto_push false",
    "plots.html_template x.html",
]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"XDG_CONFIG_HOME": "{home}/mine", "XDG_CONFIG_DIRS": "{home}/machine:/etc/xdg"},
        {"XDG_CONFIG_HOME": "{home}/mine", "DVC_GLOBAL_CONFIG_DIR": "{home}/a b"},
        {"XDG_CONFIG_HOME": "  ", "XDG_CONFIG_DIRS": "", "DVC_SYSTEM_CONFIG_DIR": "{home}/system"},
    ],
    ids=["home", "xdg", "dvc-global", "blank"],
)
def test_a_users_configuration_lies_where_dvc_has_it(
    repo: Path, dvc: Tool, penstock: Tool, tmp_path: Path, variables: dict[str, str]
) -> None:
    home = tmp_path / "home"
    bare = {
        name: value
        for name, value in dvc.environment.items()
        if not name.startswith("XDG_") and name not in {"DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"}
    }
    given = {name: value.format(home=home) for name, value in variables.items()}
    ours, theirs = (
        Tool(tool.name, tool.command, {**bare, **given, "HOME": str(home)}, tool.server)
        for tool in (penstock, dvc)
    )
    theirs(repo, "config", "--global", "core.remote", "of-dvc")
    assert ours(repo, "config", "core.remote") == theirs(repo, "config", "core.remote") == "of-dvc\n"
    ours(repo, "config", "--global", "core.remote", "of-penstock")
    assert theirs(repo, "config", "core.remote") == "of-penstock\n"
    if any("machine" in text or "system" in text for text in given.values()):
        theirs(repo, "config", "--system", "core.autostage", "true")
        assert ours(repo, "config", "--system", "core.autostage") == "true\n"


def test_configuration_files_are_the_same(repo: Path, dvc: Tool, penstock: Tool) -> None:
    penstock(repo, "remote", "add", "-d", "store", "/nowhere")
    for arguments in CONFIGS:
        ours, theirs = both(repo, dvc, penstock, "config", *arguments.split())
        assert workspace(ours) == workspace(theirs), arguments
    listed = [tool(copy, "config", "-l") for tool, copy in ((dvc, ours), (penstock, ours))]
    assert listed[0] == listed[1]
    shown = [tool(ours, "config", "-l", "--show-origin") for tool in (dvc, penstock)]
    assert shown[0] == shown[1]
    for name in ("core.remote", "remote.store.url", "cache.type", "core.no_scm"):
        assert dvc(ours, "config", name) == penstock(ours, "config", name)
    assert dvc(ours, "cache", "dir") == penstock(ours, "cache", "dir")
    for name in ("exp.auto_push", "plots.html_template", "core.autostage"):
        both(repo, dvc, penstock, "config", "-u", name)
        assert workspace(ours) == workspace(theirs), name
    both(repo, dvc, penstock, "cache", "dir", "new/cache")
    assert workspace(ours) == workspace(theirs)


@pytest.mark.parametrize("bad", ["nope.x 1", "core.nope 1", "core.autostage maybe", "-u core.autostage", "x"])
def test_bad_options_are_refused(repo: Path, dvc: Tool, penstock: Tool, bad: str) -> None:
    before = workspace(repo)
    for tool in (dvc, penstock):
        tool(repo, "config", *bad.split(), ok=False)
        assert workspace(repo) == before


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "copy"])
def test_unprotecting_gives_files_to_edit(repo: Path, dvc: Tool, penstock: Tool, kind: str) -> None:
    penstock(repo, "config", "cache.type", kind)
    for name in ("data", "model.bin"):
        shutil.rmtree(repo / name) if (repo / name).is_dir() else (repo / name).unlink()
    penstock(repo, "checkout")
    penstock(repo, "unprotect", "data", "model.bin")
    for path in (repo / "data").rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or (path.stat().st_mode & 0o200 and path.stat().st_nlink == 1)
    (repo / "model.bin").write_bytes(b"changed")
    assert dvc.json(repo, "status") == penstock.json(repo, "status") != {}


def test_ignored_paths_are_named_the_same(repo: Path, dvc: Tool, penstock: Tool) -> None:
    (repo / ".dvcignore").write_text("# comment\n*.tmp\n!keep.tmp\nfoo/\n\n/top\n")
    (repo / "sub").mkdir()
    (repo / "sub" / ".dvcignore").write_text("deep*\n")
    (repo / "foo").mkdir()
    names = ["a.tmp", "keep.tmp", "b", "foo/x", "foo", "top", "sub/top", "sub/deeper", ".git/config"]
    for flags in ([], ["-d"], ["-d", "-n"]):
        first, second = (tool.run(repo, "check-ignore", *flags, *names) for tool in (dvc, penstock))
        assert (first.stdout, first.returncode) == (second.stdout, second.returncode)
    for name in names:
        codes = [tool.run(repo, "check-ignore", name).returncode for tool in (dvc, penstock)]
        assert codes[0] == codes[1], name


def ordered(value: object) -> object:
    """Sort every list of a document: DVC's order varies."""
    if isinstance(value, dict):
        return {key: ordered(item) for key, item in value.items()}
    return sorted(value, key=str) if isinstance(value, list) else value


FLAGS = [[], ["--granular"], ["--granular", "--unchanged", "--untracked-files"], ["--unchanged"]]


def agree(repo: Path, dvc: Tool, penstock: Tool) -> None:
    for flags in FLAGS:
        ours, theirs = (ordered(tool.json(repo, "data", "status", *flags)) for tool in (penstock, dvc))
        assert ours == theirs, flags


def test_data_status_agrees(repo: Path, dvc: Tool, penstock: Tool) -> None:
    agree(repo, dvc, penstock)
    (repo / "data" / "new").write_text("new")
    (repo / "data" / "a.txt").write_text("changed")
    (repo / "data" / "zero").unlink()
    (repo / "untracked").write_text("u")
    (repo / "model.bin").write_text("other")
    penstock(repo, "add", "model.bin")
    agree(repo, dvc, penstock)
    penstock(repo, "add", "data")
    (repo / "model.bin").unlink()
    agree(repo, dvc, penstock)


def test_data_status_agrees_on_missing_objects_and_renames(repo: Path, dvc: Tool, penstock: Tool) -> None:
    (repo / "extra").write_text("extra")
    penstock(repo, "add", "extra")
    penstock(repo, "move", "data", "moved")
    agree(repo, dvc, penstock)
    objects = (repo / ".dvc" / "cache" / "files" / "md5").glob("*/*")
    victim = min(path for path in objects if path.suffix == "")
    victim.unlink()
    agree(repo, dvc, penstock)
    shown = penstock.json(repo, "data", "status", "--granular", "moved/B")
    assert ordered(shown) == ordered(dvc.json(repo, "data", "status", "--granular", "moved/B"))
