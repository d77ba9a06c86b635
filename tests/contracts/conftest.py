"""The backends that must keep the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers.s3 import S3Server, run_s3


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with run_s3(tmp_path_factory.mktemp("ceph") / "s3") as server:
        yield server


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, where the keys of servers are noted."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
