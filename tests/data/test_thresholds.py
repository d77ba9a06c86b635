"""Where a size chooses between two ways, what comes out is the same on both sides of it.

Each test does the same thing at sizes around a threshold that is set small for it, and expects the same of all.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.base.errors import Corrupt, Invalid, NotFound
from penstock.data.cache import hashing, placing, presence, transfer
from penstock.data.cache.hashing import hash_path, save_path
from penstock.data.cache.legacy import is_legacy_content, legacy_md5
from penstock.data.cache.transfer import fetch_objects, push_objects, remote_key, replace_objects
from penstock.data.cache.verification import verify_cache, verify_remote
from penstock.data.formats import tree as tree_format
from penstock.data.formats import treefiles
from penstock.data.formats.tree import parse_tree, render_tree
from penstock.data.formats.treefiles import parse_files
from penstock.data.objects import ObjectStore
from penstock.data.pointers.pointer import list_pointers
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.data.verbs.checkout import checkout_output
from penstock.storage.backend import Backend
from penstock.storage.object_store import backend as object_store
from penstock.storage.object_store import parts_writer
from penstock.storage.resolve import open_backend
from servers.s3 import S3Server

from .conftest import write_files

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
SIZES = (0, 1, 999, 1000, 1001, 2000, 2001)
SMALL = 1000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything larger than a thousand bytes large."""
    for module in (transfer, hashing, placing):
        monkeypatch.setattr(module, "SMALL_BYTES", SMALL)
    for module in (hashing, placing):
        monkeypatch.setattr(module, "CHUNK_BYTES", 300)


@pytest.fixture(params=["memory", "local", pytest.param("s3", marks=pytest.mark.slow)])
def remote(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        monkeypatch.setattr(object_store, "SINGLE_BYTES", 1500)
        monkeypatch.setattr(object_store, "READ_BYTES", 500)
        monkeypatch.setattr(object_store, "AHEAD_BYTES", 1500)
        opened = open_backend(f"s3://{server.make_bucket()}/p", server.options())
    else:
        opened = open_backend("memory://" if request.param == "memory" else str(tmp_path / "store"))
    yield opened
    opened.close()


def lists_around(bytes_wanted: int) -> list[int]:
    """Return numbers of files whose list is a little shorter and a little longer than so many bytes."""
    one = len('{"md5": "", "relpath": "f000"}, ') + 32
    return [1, bytes_wanted // one, bytes_wanted // one + 1, 2 * bytes_wanted // one + 1]


@pytest.mark.usefixtures("small")
def test_files_and_lists_of_every_size_come_and_go_unharmed(repo: DataRepository, remote: Backend) -> None:
    files = write_files(repo.root / "f", {f"{size}": os.urandom(size) for size in SIZES})
    infos = [add_path(repo, files / f"{size}").hash for size in SIZES]
    for count in lists_around(SMALL):
        folder = write_files(repo.root / f"d{count}", {f"f{at:03}": f"{count} {at}" for at in range(count)})
        infos.append(add_path(repo, folder).hash)
    found = [
        path
        for path in repo.root.rglob("*")
        if not {".git", ".dvc", ".gitignore", ".dvcignore"} & {*path.parts}
    ]
    before = {path: path.read_bytes() for path in found if path.is_file() and path.suffix == ""}
    sent = push_objects(repo, infos, remote)
    assert (sent.failed, sent.damaged) == ({}, set())
    assert all(remote.exists(remote_key(info.md5)) for info in infos)
    assert not replace_objects(repo, [info.md5 for info in infos], remote).failed
    assert verify_remote(repo, infos, remote).is_sound
    shutil.rmtree(repo.cache.root)
    repo = replace(repo, cache=ObjectStore(repo.cache.root))
    assert not fetch_objects(repo, infos, remote).failed
    assert verify_cache(repo, infos).is_sound
    for path in before:
        path.unlink()
    for pointer in list_pointers(repo):
        checkout_output(repo, pointer.outputs[0], force=True)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.usefixtures("small")
def test_damage_is_found_in_files_and_lists_of_every_size(repo: DataRepository, remote: Backend) -> None:
    for size in (1, *SIZES[2:]):
        info = save_path(repo, write_files(repo.root, {"one": os.urandom(size)}) / "one")
        damaged = Path(repo.cache.path(info.md5))
        damaged.chmod(0o644)
        damaged.write_bytes(bytes(size))
        damaged.chmod(0o444)
        for sent in (push_objects(repo, [info], remote), replace_objects(repo, [info.md5], remote)):
            assert sent.damaged == {info.md5}, size
        assert not remote.exists(remote_key(info.md5))
        damaged.unlink()
        sent = push_objects(repo, [info], remote)
        assert sent.missing == {info.md5}
        remote.put(remote_key(info.md5), bytes(size))
        fetched = fetch_objects(repo, [info], remote)
        assert fetched.damaged == {info.md5}
        assert not damaged.exists()
    for count in lists_around(SMALL):
        data = render_tree((f"f{at:03}", MD5) for at in range(count))
        md5 = repo.cache.put_tree(data)
        path = Path(repo.cache.path(md5))
        path.chmod(0o644)
        path.write_bytes(data.replace(MD5.encode(), b"0" * 32))
        with pytest.raises(Corrupt):
            transfer._push_one(repo, remote, md5)
        assert not remote.exists(remote_key(md5))


@pytest.mark.usefixtures("small")
def test_a_file_has_the_same_name_whatever_way_it_is_read(repo: DataRepository) -> None:
    for size in SIZES:
        content = os.urandom(size)
        path = write_files(repo.root, {f"one{size}": content}) / f"one{size}"
        wanted = hashlib.md5(content).hexdigest()
        assert hash_path(repo, path).md5 == wanted
        assert save_path(repo, path).md5 == wanted
        assert Path(repo.cache.path(wanted)).read_bytes() == content


def test_a_list_is_read_the_same_where_it_ends_beside_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {f"f{at:03}": MD5 for at in range(30)} | {"z\\": MD5, "ä": MD5}
    data = render_tree(tree.items())
    for block_bytes in range(50, 400, 7):
        monkeypatch.setattr(treefiles, "_BLOCK_BYTES", block_bytes)
        assert dict(parse_files(data, "x").items()) == parse_tree(data, "x") == tree
    for block in (1, 2, 31, 32, 33):
        monkeypatch.setattr(tree_format, "BLOCK", block)
        assert render_tree(tree.items()) == data


def test_a_lost_file_of_a_directory_is_missed_whether_it_is_large_or_small(
    repo: DataRepository, remote: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_files(repo.root / "d", {f"f{at:03}": f"{at}" for at in range(80)})
    info = add_path(repo, folder).hash
    push_objects(repo, [info], remote)
    md5s = sorted(repo.cache.load_tree(info).values())
    lost, kept = set(md5s[:2]), md5s[2:]
    for md5 in lost:
        Path(repo.cache.path(md5)).unlink()
        remote.delete(remote_key(md5))
    for few in (79, 80, 81):
        for module in (transfer, presence, sys.modules["penstock.data.objects"]):
            monkeypatch.setattr(module, "FEW", few)
        assert repo.cache.missing(md5s) == lost
        assert not presence.has(repo, info)
        assert set(transfer.find_absent(remote, md5s)) == lost
        assert transfer.find_absent(remote, kept) == []


def test_dvc_2_files_around_the_size_that_dvc_reads_at_a_time(repo: DataRepository) -> None:
    """DVC ends lines anew in each mebibyte by itself: a CR and a LF in two of them stay."""
    for size in ((1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 1):
        for start in (b"", b"a"):
            content = (start + b"x\r\n" * (size // 3 + 1))[:size]
            path = write_files(repo.root, {"text": content}) / "text"
            digest, file = hashlib.md5(), io.BytesIO(content)
            while chunk := file.read(1 << 20):
                digest.update(chunk.replace(b"\r\n", b"\n"))
            assert legacy_md5(repo, path) == digest.hexdigest(), (size, start)
            assert is_legacy_content(str(path), digest.hexdigest())


@pytest.mark.slow
def test_what_s3_takes_at_once_and_in_parts_is_the_same(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (object_store, parts_writer):
        monkeypatch.setattr(module, "SINGLE_BYTES", SMALL)
    monkeypatch.setattr(object_store, "READ_BYTES", 500)
    monkeypatch.setattr(object_store, "AHEAD_BYTES", SMALL)
    monkeypatch.setattr(object_store, "COPY_BYTES", SMALL)
    store = open_backend(f"s3://{s3_server.make_bucket()}/p", s3_server.options())
    for size in (*SIZES, 499, 500, 501):
        content = os.urandom(size)
        store.upload("up", [content[:400], content[400:]], size)
        writer = store.writer("written", size)
        writer.write([content[:400], content[400:]])
        writer.commit()
        store.copy("up", "copied")
        for key in ("up", "written", "copied"):
            assert store.get(key) == b"".join(store.stream(key)) == content, (key, size)
            assert b"".join(store.stream(key, size // 2)) == content[size // 2 :]
        with pytest.raises(Invalid):
            store.upload("short", [content], size + 1)
        assert not store.exists("short")
        with pytest.raises(NotFound):
            store.copy("no/such", "copied")
    store.close()
