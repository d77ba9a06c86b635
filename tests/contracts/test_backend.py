"""The contract of `penstock.storage.backend`, run over every implementation."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.base.digest import FileBlocks, digest_blocks, digest_bytes
from penstock.base.errors import Corrupt, Denied, Invalid, NotFound, PenstockError, Unavailable
from penstock.storage.backend import Backend, Child
from penstock.storage.resolve import open_backend
from tables import table

SERVERS = ("s3", "azure", "ssh")
KINDS = ["memory", "local", *(pytest.param(name, marks=pytest.mark.slow) for name in SERVERS)]
NO_BUCKET: list[Callable[[Backend], object]] = [
    lambda backend: backend.put("k", b"x"),
    lambda backend: backend.upload("k", [bytes(20 << 20)], 20 << 20),
    lambda backend: backend.get("k"),
    lambda backend: list(backend.stream("k")),
    lambda backend: list(backend.list("")),
    lambda backend: backend.has_place(),
]


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "memory":
        opened = open_backend("memory://")
    elif request.param == "local":
        opened = open_backend(str(tmp_path / "store"))
    elif request.param == "ssh":
        server = request.getfixturevalue("ssh_server")
        opened = open_backend(server.url(f"{uuid.uuid4().hex}/some prefix"), server.options())
    else:
        server = request.getfixturevalue(f"{request.param}_server")
        place = server.make_bucket() if request.param == "s3" else server.make_container()
        opened = open_backend(f"{request.param}://{place}/some/prefix", server.options())
    yield opened
    opened.close()


def test_what_was_put_is_got(backend: Backend) -> None:
    backend.put("a/b", b"hello")
    assert backend.get("a/b") == b"hello"
    assert backend.size("a/b") == 5
    assert backend.exists("a/b")


def test_an_empty_object_is_an_object(backend: Backend) -> None:
    backend.put("empty", b"")
    assert backend.get("empty") == b""
    assert backend.size("empty") == 0


def test_putting_again_replaces(backend: Backend) -> None:
    backend.put("k", b"one")
    backend.put("k", b"three")
    assert backend.get("k") == b"three"


def test_a_copy_is_what_was_there_whatever_comes_later(backend: Backend) -> None:
    backend.put("a/b", b"one")
    backend.copy("a/b", "c")
    backend.copy("a/b", "c")
    backend.put("a/b", b"three")
    assert backend.get("c") == b"one"
    backend.delete("a/b")
    assert backend.get("c") == b"one"
    assert [entry.key for entry in backend.list("")] == ["c"]
    with pytest.raises(NotFound):
        backend.copy("no/such", "d")
    assert not backend.exists("d")


def test_a_miss_is_not_found(backend: Backend, tmp_path: Path) -> None:
    assert backend.size("no/such") is None
    assert not backend.exists("no/such")
    for ask in (
        lambda: backend.get("no/such"),
        lambda: backend.get_range("no/such", 0, 1),
        lambda: backend.download("no/such", tmp_path / "x"),
    ):
        with pytest.raises(NotFound) as caught:
            ask()
        assert caught.value.code == "storage.object_missing"


def test_deleting_is_idempotent(backend: Backend) -> None:
    backend.put("k", b"x")
    backend.delete("k")
    backend.delete("k")
    assert not backend.exists("k")


def test_ranges_end_with_the_object(backend: Backend) -> None:
    backend.put("k", b"0123456789")
    assert backend.get_range("k", 2, 3) == b"234"
    assert backend.get_range("k", 8, 100) == b"89"
    assert backend.get_range("k", 10, 5) == b""


def test_listing_is_by_directory(backend: Backend) -> None:
    for key in ("d/a", "d/sub/b", "dd/c", "e"):
        backend.put(key, key.encode())
    assert {(entry.key, entry.size_bytes) for entry in backend.list("d")} == {("d/a", 3), ("d/sub/b", 7)}
    assert {entry.key for entry in backend.list("")} == {"d/a", "d/sub/b", "dd/c", "e"}
    assert list(backend.list("nothing")) == []


def test_files_stream_both_ways(backend: Backend, tmp_path: Path) -> None:
    data = os.urandom(20 << 20)
    source = tmp_path / "source"
    source.write_bytes(data)
    backend.upload("big", FileBlocks(source), len(data))
    assert backend.size("big") == len(data)
    backend.download("big", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data


@pytest.mark.parametrize("size", [3, 40 << 20])
def test_an_upload_whose_bytes_turn_out_wrong_leaves_what_was_there(backend: Backend, size: int) -> None:
    def checked() -> Iterator[bytes]:
        yield bytes(size)
        raise Corrupt("not what its name says", code="data.object_corrupt")

    backend.put("k", b"before")
    with pytest.raises(Corrupt, match="not what its name says"):
        backend.upload("k", checked(), size)
    for announced in (size - 1, size + 1):
        with pytest.raises(Invalid, match="bytes arrived"):
            backend.upload("k", [bytes(size)], announced)
    assert backend.get("k") == b"before"
    assert [entry.key for entry in backend.list("")] == ["k"]


def test_a_source_that_is_not_there_is_not_taken_for_a_miss_of_the_store(
    backend: Backend, tmp_path: Path
) -> None:
    for size in (3, 40 << 20):
        with pytest.raises(NotFound, match="nothing does not exist") as caught:
            backend.upload("k", FileBlocks(tmp_path / "nothing"), size)
        assert caught.value.code == "file.missing"


def test_a_large_object_streams_in_order_from_any_offset_and_to_many_readers(backend: Backend) -> None:
    data = os.urandom((33 << 20) + 17)  # a little more than comes down in one piece
    backend.upload("big", [data], len(data))
    assert b"".join(backend.stream("big", 5)) == data[5:]
    assert b"".join(backend.stream("big", 1 << 20, 32 << 20)) == data[1 << 20 : 33 << 20]
    abandoned = backend.stream("big")
    assert data.startswith(next(abandoned))
    with ThreadPoolExecutor(3) as pool:
        digests = pool.map(lambda _: digest_blocks(backend.stream("big")), range(3))
        assert set(digests) == {digest_bytes(data)}
    del abandoned


def test_a_large_object_that_is_replaced_while_it_is_read_never_becomes_a_mixture(backend: Backend) -> None:
    size = 33 << 20
    backend.upload("big", [bytes(size)], size)
    reading = backend.stream("big")
    received = len(next(reading))
    backend.upload("big", [b"x" * size], size)
    try:
        for chunk in reading:
            assert not chunk.strip(b"\0")
            received += len(chunk)
        assert received == size
    except Unavailable as error:
        assert "replaced while it was read" in error.message


def test_a_stream_is_the_whole_object(backend: Backend) -> None:
    data = os.urandom(9 << 20)
    backend.put("big", data)
    assert b"".join(backend.stream("big")) == data
    backend.put("empty", b"")
    assert b"".join(backend.stream("empty")) == b""
    with pytest.raises(NotFound):
        next(backend.stream("no/such"))


@pytest.mark.parametrize("key", ["a b", "a+b", "a%20b", "a&b=c", "ü/ö", "q'uo\"te", "#hash", "~tilde"])
def test_odd_keys_are_plain_keys(backend: Backend, key: str) -> None:
    backend.put(key, key.encode())
    assert backend.get(key) == key.encode()
    assert [entry.key for entry in backend.list("")] == [key]


@table("key", ["", "/a", "../a", "a/../b", "a//b", "a/.", "a\0b"])
def test_a_key_that_is_no_plain_path_is_refused(backend: Backend, key: str) -> None:
    with pytest.raises(Invalid):
        backend.put(key, b"x")
    with pytest.raises(Invalid):
        backend.get(key)


def test_threads_may_share_it(backend: Backend) -> None:
    keys = [f"t/{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: backend.put(key, key.encode()), keys))
        assert list(pool.map(backend.get, keys)) == [key.encode() for key in keys]


@pytest.mark.slow
def test_a_wrong_secret_is_denied_and_not_shown(s3_server) -> None:  # type: ignore[no-untyped-def]
    options = {**s3_server.options(), "secret_access_key": "not-the-secret"}
    backend = open_backend(f"s3://{s3_server.make_bucket()}", options)
    with pytest.raises(Denied) as caught:
        backend.put("k", b"x")
    assert "not-the-secret" not in str(caught.value)


@pytest.mark.slow
def test_a_missing_bucket_is_named(s3_server) -> None:  # type: ignore[no-untyped-def]
    backend = open_backend("s3://no-such-bucket-here", s3_server.options())
    for ask in NO_BUCKET:
        with pytest.raises(Unavailable) as caught:
            ask(backend)
        assert caught.value.code == "storage.no_bucket"
        assert "no-such-bucket-here" in str(caught.value)
    assert not backend.exists("k")
    named = open_backend(f"s3://{s3_server.make_bucket()}", s3_server.options())
    with pytest.raises(NotFound):
        named.get("NoSuchBucket")


@pytest.mark.slow
def test_a_missing_container_is_named(azure_server) -> None:  # type: ignore[no-untyped-def]
    backend = open_backend("azure://no-such-container-here/p", azure_server.options())
    for ask in NO_BUCKET:
        with pytest.raises(Unavailable, match="no-such-container-here"):
            ask(backend)


def test_the_place_is_there_after_the_first_write(backend: Backend) -> None:
    backend.has_place()
    backend.put("k", b"x")
    assert backend.has_place()


def test_what_a_writer_was_given_is_there_after_the_commit(backend: Backend) -> None:
    writer = backend.writer("d/k", 6)
    writer.write([b"ab", b"", b"cd"])
    assert not backend.exists("d/k")
    writer.write([b"ef"])
    assert writer.commit() == 6
    writer.abort()
    assert backend.get("d/k") == b"abcdef"
    assert backend.writer("empty").commit() == 0
    assert backend.get("empty") == b""


@pytest.mark.parametrize("is_size_known", [True, False])
def test_a_writer_takes_more_than_one_request_holds(backend: Backend, is_size_known: bool) -> None:
    part = os.urandom(1 << 20)
    writer = backend.writer("big", 37 << 20 if is_size_known else None)
    for _ in range(37):
        writer.write([part[: 1 << 19], part[1 << 19 :]])
    assert writer.commit() == 37 << 20
    assert backend.get("big") == part * 37


@pytest.mark.parametrize("size", [3, 40 << 20])
def test_an_aborted_writer_leaves_what_was_there(backend: Backend, size: int) -> None:
    backend.put("k", b"before")
    writer = backend.writer("k")
    for _ in range(max(1, size >> 20)):
        writer.write([bytes(min(size, 1 << 20))])
    writer.abort()
    writer.abort()
    assert backend.get("k") == b"before"
    assert [entry.key for entry in backend.list("")] == ["k"]


def test_a_writer_that_got_fewer_bytes_than_announced_stores_nothing(backend: Backend) -> None:
    writer = backend.writer("k", 10)
    writer.write([b"short"])
    with pytest.raises(PenstockError):
        writer.commit()
    writer.abort()
    assert not backend.exists("k")


def test_a_part_of_an_object_streams(backend: Backend) -> None:
    data = os.urandom(9 << 20)
    backend.put("big", data)
    for start, length in ((0, 1), (5, 6 << 20), (1 << 20, None), (9 << 20, 5), (8 << 20, 4 << 20), (3, 0)):
        found = b"".join(backend.stream("big", start, length))
        assert found == data[start : None if length is None else start + length]


def test_one_level_is_listed(backend: Backend) -> None:
    for key in ("d/a", "d/sub/b", "d/sub/deep/c", "dd/c", "e"):
        backend.put(key, key.encode())
    assert set(backend.children("d")) == {Child("a", 3), Child("sub", None)}
    assert set(backend.children("")) == {Child("d", None), Child("dd", None), Child("e", 1)}
    assert list(backend.children("d/a")) == []
    assert list(backend.children("nothing")) == []


def test_a_directory_is_not_an_object(backend: Backend) -> None:
    backend.put("d/a", b"x")
    assert backend.size("d") is None
    with pytest.raises(NotFound):
        next(backend.stream("d"))
    backend.delete("d")
    assert backend.get("d/a") == b"x"


def test_a_tree_is_deleted_and_can_be_written_again(backend: Backend) -> None:
    for key in ("d/a", "d/sub/b", "dd/c"):
        backend.put(key, b"x")
    backend.delete_tree("d")
    backend.delete_tree("d")
    assert [entry.key for entry in backend.list("")] == ["dd/c"]
    backend.put("d/a", b"y")
    assert backend.get("d/a") == b"y"


def test_stored_keys_are_plain(backend: Backend) -> None:
    backend.put("d/a", b"x")
    assert backend.is_plain("d/a")
    assert backend.is_plain("d/nothing/here")
