"""`penstock://` for the libraries that read through fsspec, and the names `penstock` itself offers."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pandas
import polars
import pytest

import penstock
from penstock.base.errors import Corrupt
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path

from .conftest import write_files
from .test_garbage import commit


@pytest.fixture
def root(repo: DataRepository, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two commits of a table in a directory; the tests stand in it."""
    for value in (1, 2):
        write_files(repo.root, {"data/x.csv": f"a,b\n{value},3\n", "data/y/y": "only", "code.py": "pass"})
        add_path(repo, repo.root / "data")
        commit(repo.root, str(value))
    monkeypatch.chdir(repo.root)
    return str(repo.root)


def test_a_file_opens_by_its_path(root: str) -> None:
    with fsspec.open("penstock://data/x.csv") as file:
        assert file.read() == b"a,b\n2,3\n"
    with fsspec.open("penstock://data/x.csv", "rt", rev="HEAD~1", repo=root) as file:
        assert file.read() == "a,b\n1,3\n"


def test_pandas_and_polars_read_any_revision(root: str) -> None:
    frame = pandas.read_csv("penstock://data/x.csv", storage_options={"rev": "HEAD~1", "repo": root})
    assert frame.to_dict("list") == {"a": [1], "b": [3]}
    with fsspec.open("penstock://data/x.csv") as file:
        assert polars.read_csv(file).to_dicts() == [{"a": 2, "b": 3}]


def test_directories_are_listed(root: str) -> None:
    system = fsspec.filesystem("penstock", repo=root)
    assert system.ls("data", detail=False) == ["data/x.csv", "data/y"]
    assert system.ls("data/y", detail=False) == ["data/y/y"]
    assert system.find("data") == ["data/x.csv", "data/y/y"]
    assert system.info("data/x.csv")["size"] == 8
    assert system.isdir("data") and system.isfile("code.py") and not system.exists("nothing")
    assert system.cat_file("data/x.csv", 2, 5) == b"b\n2"
    assert system.cat_file("penstock://data/y/y") == b"only"


def test_ranges_count_from_the_end_too(root: str) -> None:
    system = fsspec.filesystem("penstock", repo=root)
    for path in ("data/x.csv", "code.py"):
        whole = system.cat_file(path)
        assert system.cat_file(path, start=-1) == whole[-1:]
        assert system.cat_file(path, start=1, end=-1) == whole[1:-1]
        assert system.cat_ranges([path, path], [-1, 0], [None, 2]) == [whole[-1:], whole[:2]]
        assert system.read_block(path, 0, 1) == whole[:1]
        assert system.tail(path, 2) == whole[-2:]
        with system.open(path) as file:
            assert file.size == len(whole)
            assert list(file) == whole.splitlines(keepends=True)
            with pytest.raises(ValueError, match="before start"):
                file.seek(-1)


def test_the_caches_of_fsspec_can_be_chained(root: str, tmp_path: Path) -> None:
    for cache in ("blockcache", "filecache", "simplecache"):
        options = {cache: {"cache_storage": str(tmp_path / cache)}, "penstock": {"repo": root}}
        for _ in range(2):
            with fsspec.open(f"{cache}::penstock://data/x.csv", **options) as file:
                file.seek(4)
                assert file.read(3) == b"2,3"
                file.seek(0)
                assert file.read() == b"a,b\n2,3\n"


def test_a_damaged_file_does_not_appear_where_it_was_to_be_copied(
    repo: DataRepository, root: str, tmp_path: Path
) -> None:
    content = b"0123456789" * 1_000_000
    write_files(repo.root, {"big.bin": content})
    add_path(repo, repo.root / "big.bin")
    system = fsspec.filesystem("penstock", repo=root)
    target = tmp_path / "deep" / "copy.bin"
    system.get("big.bin", str(target))
    assert target.read_bytes() == content
    cached = next(
        path for path in repo.cache.root.rglob("*") if path.is_file() and path.stat().st_size > 9_000_000
    )
    cached.chmod(0o644)
    cached.write_bytes(content[:-1] + b"x")
    for place in (target, tmp_path / "other" / "copy.bin"):
        with pytest.raises(Corrupt):
            system.get("big.bin", str(place))
    assert target.read_bytes() == content
    assert [path.name for path in tmp_path.glob("[do]*/*")] == ["copy.bin"]
    system.get("data", str(tmp_path / "all"), recursive=True)
    assert (tmp_path / "all/y/y").read_bytes() == b"only"


def test_errors_are_those_fsspecs_users_expect(root: str) -> None:
    with pytest.raises(FileNotFoundError):
        fsspec.open("penstock://data/nothing").open()
    with pytest.raises(IsADirectoryError):
        fsspec.open("penstock://data").open()
    with pytest.raises(OSError, match="read only"):
        fsspec.open("penstock://data/x.csv", "wb").open()


def test_the_package_offers_open_and_read_bytes(root: str) -> None:
    assert penstock.read_bytes("data/x.csv", rev="HEAD~1") == b"a,b\n1,3\n"
    with penstock.open("data/x.csv", repo=root) as file:
        assert file.read() == b"a,b\n2,3\n"
