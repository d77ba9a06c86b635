"""`penstock://` for the libraries that read through fsspec, and the names `penstock` itself offers."""

from __future__ import annotations

import fsspec
import pandas
import polars
import pytest

import penstock
from penstock.data.adding import add_path
from penstock.data.repository import DataRepository

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
