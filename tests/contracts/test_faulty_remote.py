"""A real S3 server behind a proxy that breaks requests: nothing wrong is kept, a rerun completes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.base.errors import PenstockError, Unavailable
from penstock.data.adding import add_path
from penstock.data.creation import init_repository
from penstock.data.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.transfer import Transfer, fetch_objects, find_absent, push_objects
from penstock.storage.resolve import open_backend
from servers.faulty import Faults, faulty
from servers.s3 import S3Server

pytestmark = pytest.mark.slow
COUNT = 80


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[DataRepository]:
    root = tmp_path / "repo"
    root.mkdir()
    init_repository(root, no_scm=True)
    for number in range(COUNT):
        path = root / "d" / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(str(number).encode() * (200_000 if number == 0 else 500))
    opened = DataRepository.open(root)
    yield opened
    opened.close()


def repeat(action, times: int = 6) -> Transfer:  # type: ignore[no-untyped-def]
    """Run a transfer again until nothing fails, as a user would."""
    for _ in range(times):
        try:
            done = action()
        except Unavailable as error:
            assert "127.0.0.1" not in error.message or "s3://" in error.message
            assert error.hint
            continue
        if not done.failed:
            return done  # type: ignore[no-any-return]
    raise AssertionError(f"not complete after {times} runs")


@pytest.mark.parametrize(
    ("kind", "share"), [("error", 0.4), ("reset", 0.3), ("truncate", 0.4), ("stall", 0.04)]
)
def test_push_and_fetch_complete(repo: DataRepository, s3_server: S3Server, kind: str, share: float) -> None:
    tree: HashInfo = add_path(repo, repo.root / "d").hash
    bucket = s3_server.make_bucket()
    faults = Faults((kind,), share, limit=60, stall_s=4)
    with faulty(s3_server.endpoint, faults) as address:
        options = {**s3_server.options(), "endpointurl": address, "read_timeout": "2"}
        remote = open_backend(f"s3://{bucket}/p", options)
        repeat(lambda: push_objects(repo, [tree], remote, jobs=8))
        straight = open_backend(f"s3://{bucket}/p", s3_server.options())
        wanted = {tree.md5, *repo.cache.load_tree(tree).values()}
        assert find_absent(straight, wanted) == []
        for entry in straight.list("files/md5"):
            data = straight.get(entry.key)
            assert hashlib.md5(data).hexdigest() == entry.key[10:].replace("/", "").removesuffix(".dir")
        shutil.rmtree(repo.cache.root)
        again = DataRepository.open(repo.root)
        repeat(lambda: fetch_objects(again, [tree], remote, jobs=8))
        assert again.cache.missing(wanted) == set()
        for md5 in wanted:
            found = hashlib.md5(Path(again.cache.path(md5)).read_bytes()).hexdigest()
            assert found == md5.removesuffix(".dir")
        again.close()
    assert faults.seen[kind] > 0


def test_a_dead_remote_is_named(repo: DataRepository, s3_server: S3Server) -> None:
    tree = add_path(repo, repo.root / "d").hash
    bucket = s3_server.make_bucket()
    with faulty(s3_server.endpoint, Faults(("reset",), 1.0)) as address:
        options = {**s3_server.options(), "endpointurl": address}
        with pytest.raises(PenstockError) as caught:
            push_objects(repo, [tree], open_backend(f"s3://{bucket}/p", options), jobs=4)
    assert bucket in caught.value.message and "testing" not in caught.value.message
    assert caught.value.hint
