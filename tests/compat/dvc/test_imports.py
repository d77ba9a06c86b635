"""`list`, `get`, `import`, `import-url`, `update`: the same files and listings from both tools."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from compat.dvc.samples import plain_directory
from compat.dvc.test_commands import both, workspace
from compat.dvc.tools import Tool, git, listing

pytestmark = [pytest.mark.slow, pytest.mark.dvc("remembered")]


@pytest.fixture(scope="module")
def source(penstock: Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits, the first tagged, pushed to a remote with a relative address; git's files beside data."""
    root = tmp_path_factory.mktemp("made") / "source"
    root.mkdir()
    git(root, "init", "-q")
    penstock(root, "init")
    penstock(root, "remote", "add", "-d", "store", "../store")
    plain_directory(root / "ds")
    (root / "f.bin").write_bytes(b"one")
    (root / "code" / "sub").mkdir(parents=True)
    (root / "code" / "main.py").write_text("code")
    (root / "code" / "sub" / "data").write_text("inner")
    penstock(root, "add", "ds", "f.bin", "code/sub/data")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    git(root, "tag", "v1")
    (root / "f.bin").write_bytes(b"second")
    (root / "ds" / "new").write_text("new")
    penstock(root, "add", "ds", "f.bin")
    git(root, "commit", "-qam", "two")
    penstock(root, "push", "-A")
    return root


@pytest.fixture
def places(source: Path, tmp_path: Path) -> list[Path]:
    return [tmp_path, source.parent]


@pytest.fixture
def repo(make_repo, penstock: Tool) -> Path:  # type: ignore[no-untyped-def]
    return Path(make_repo("repo", penstock))


LISTS = [
    "",
    "-R",
    "--dvc-only",
    "-R --dvc-only",
    "PATH ds",
    "PATH ds -R",
    "PATH code",
    "PATH ds/a.txt",
    "--rev v1 -R",
]


@pytest.mark.parametrize("flags", LISTS)
def test_listings_are_the_same(source: Path, dvc: Tool, penstock: Tool, flags: str) -> None:
    arguments = flags.split()
    place = [arguments.pop(1)] if arguments[:1] == ["PATH"] else []
    arguments = [one for one in arguments if one != "PATH"]
    first, second = (
        tool.json(source.parent, "list", str(source), *place, *arguments) for tool in (dvc, penstock)
    )
    assert [entry["path"] for entry in second] == [entry["path"] for entry in first]
    for ours, theirs in zip(second, first, strict=True):
        assert {key: ours[key] for key in ("path", "isout", "isdir", "md5")} == {
            key: theirs[key] for key in ("path", "isout", "isdir", "md5")
        }


GETS = ["ds", "f.bin", "ds/sub", "ds/a.txt", "code", "code/main.py", "f.bin --rev v1", "ds --rev v1"]


@pytest.mark.parametrize(
    ("what", "from_remote"), [*((what, False) for what in GETS), ("ds", True), ("f.bin --rev v1", True)]
)
def test_got_files_are_the_same(
    source: Path, tmp_path: Path, dvc: Tool, penstock: Tool, what: str, from_remote: bool
) -> None:
    cache = source / ".dvc" / "cache"
    if from_remote:
        cache.rename(source.with_name("cache"))
    try:
        for tool in (dvc, penstock):
            path, *flags = what.split()
            tool(tmp_path, "get", source, path, "-o", tool.name, *flags)
    finally:
        if from_remote:
            shutil.rmtree(cache, ignore_errors=True)
            source.with_name("cache").rename(cache)

    def content(name: str) -> object:
        path = tmp_path / name
        return (
            path.read_bytes() if path.is_file() else {key: data for key, (data, _) in listing(path).items()}
        )

    assert content("penstock") == content("dvc")
    assert sorted(os.listdir(tmp_path)) == ["dvc", "penstock"]


IMPORTS = ["ds", "f.bin", "ds/sub", "code/main.py", "f.bin --rev v1", "f.bin --no-download", "ds --no-exec"]


@pytest.mark.dvc("real")
@pytest.mark.parametrize("what", IMPORTS)
def test_imports_are_the_same(source: Path, repo: Path, dvc: Tool, penstock: Tool, what: str) -> None:
    path, *flags = what.split()
    ours, theirs = both(repo, dvc, penstock, "import", str(source), path, "-o", "here", *flags)
    found, wanted = workspace(ours), workspace(theirs)
    extra = {name for name in wanted.keys() - found.keys() if name.endswith(".dir")}  # trees nobody names
    assert found == {name: item for name, item in wanted.items() if name not in extra}
    if not flags:
        for copy, tool in ((ours, penstock), (theirs, dvc)):
            shutil.rmtree(copy / ".dvc" / "cache")
            shutil.rmtree(copy / "here") if (copy / "here").is_dir() else (copy / "here").unlink()
            tool(copy, "pull")
        assert {k: v for k, v in workspace(ours).items() if "cache" not in k} == {
            k: v for k, v in workspace(theirs).items() if "cache" not in k
        }


@pytest.mark.dvc("real")
def test_an_import_is_updated_the_same(source: Path, repo: Path, dvc: Tool, penstock: Tool) -> None:
    penstock(repo, "import", "--rev", "v1", str(source), "f.bin")
    ours, theirs = both(repo, dvc, penstock, "update", "f.bin.dvc")
    assert workspace(ours) == workspace(theirs)
    both(repo, dvc, penstock, "update", "--rev", "HEAD", "f.bin.dvc")
    assert workspace(ours) == workspace(theirs)
    assert (ours / "f.bin").read_bytes() == b"second"


@pytest.mark.dvc("real")
@pytest.mark.parametrize("flags", ["", "--no-download", "--no-exec"])
def test_imports_of_paths_are_the_same(
    repo: Path, tmp_path: Path, dvc: Tool, penstock: Tool, flags: str
) -> None:
    plain_directory(tmp_path / "outside")
    (tmp_path / "file").write_text("one")
    for name in ("outside", "file"):
        ours, theirs = both(repo, dvc, penstock, "import-url", str(tmp_path / name), *flags.split())
    assert workspace(ours) == workspace(theirs)
    if not flags:
        (tmp_path / "file").write_text("other")
        both(repo, dvc, penstock, "update", "file.dvc", "outside.dvc")
        assert workspace(ours) == workspace(theirs)
        assert (ours / "file").read_text() == "other"
