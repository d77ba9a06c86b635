"""Content digests of files and directories, and putting them into the cache.

`hash_path` looks, `save_path` also stores. A file whose inode, size and time are known is not read again;
one that must be read for both is read once. Nothing here writes pointers.
"""

from __future__ import annotations

import operator
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from penstock.base.digest import CHUNK_BYTES, read_up_to
from penstock.base.errors import Denied
from penstock.data.files.forking import map_forked
from penstock.data.files.regular import check_kind, open_regular, path_missing
from penstock.data.files.scan import Scan, scan_tree
from penstock.data.files.state import FileKey, Snapshot
from penstock.data.formats.output import HashInfo
from penstock.data.formats.packed import DIGEST_BYTES, iter_digests, iter_hex, place_of
from penstock.data.formats.tree import blocks_md5, render_blocks
from penstock.data.objects import SMALL_BYTES, ObjectStore
from penstock.data.repository import DataRepository

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@dataclass(slots=True)
class HashedTree:
    """A directory's content: its digest, and the digest of every file by relative path."""

    info: HashInfo
    scan: Scan
    digests: bytes

    def files(self) -> dict[str, str]:
        """Return md5 by relative path."""
        return dict(zip(self.scan.names, iter_hex(self.digests), strict=True))

    def render(self) -> Iterator[bytes]:
        """Yield the bytes of the tree object, in blocks."""
        return _render(self.scan.names, self.digests)


def _render(names: Sequence[str], digests: bytes) -> Iterator[bytes]:
    if all(map(operator.lt, names, islice(names, 1, None))):
        return render_blocks(zip(names, iter_hex(digests), strict=True))
    order = sorted(range(len(names)), key=names.__getitem__)
    return render_blocks((names[at], digests[place_of(at)].hex()) for at in order)


def hash_path(repo: DataRepository, path: Path) -> HashInfo:
    """Return what is at `path` now: a file's or a directory's digest.

    Raises:
        NotFound: nothing is there.
        Denied: it cannot be read.
        Invalid: it is neither a file nor a directory.
    """
    info = _stat(path)
    if stat.S_ISDIR(info.st_mode):
        return hash_tree(repo, path).info
    return _file_info(info, _hash_file(repo, path, info))


def save_path(repo: DataRepository, path: Path) -> HashInfo:
    """Hash `path` and store every object of it that the cache lacks.

    The workspace file stays as it is; `penstock.data.verbs.checkout.relink` turns it into a link.
    """
    info = _stat(path)
    return save_tree(repo, path).info if stat.S_ISDIR(info.st_mode) else _save_file(repo, path, info)


def _save_file(repo: DataRepository, path: Path, info: os.stat_result) -> HashInfo:
    known = repo.state.find_file(_key(info))
    if known is None or not repo.cache.has_md5(known):
        known = store_file(repo.cache, str(path))
        repo.state.save_files([(_key(info), known)])
    return _file_info(info, known)


def save_tree(repo: DataRepository, path: Path) -> HashedTree:
    """Hash a directory and store every object of it that the cache lacks, its tree object last."""
    tree = hash_tree(repo, path, store=True)
    if not repo.cache.has_md5(tree.info.md5):
        repo.cache.put_blocks(tree.render(), tree.info.md5)
    fingerprint = repo.cache.fingerprint()
    if repo.state.find_complete(tree.info.md5) != fingerprint:
        repo.state.save_complete(tree.info.md5, fingerprint)
    return tree


def hash_tree(repo: DataRepository, path: Path, *, store: bool = False) -> HashedTree:
    """Hash a directory, reading only files that changed since its last snapshot.

    With `store`, every file's object that the cache lacks is put there; a tree object is not written.
    """
    scan = scan_tree(str(path), repo.ignore)
    key = os.fsencode(os.path.relpath(path, repo.root))
    names = scan.encoded_names()
    old = repo.state.find_snapshot(key)
    if old is not None and old.stats == scan.stats and old.names == names:
        tree = HashedTree(HashInfo(old.md5, old.size, old.nfiles), scan, old.digests)
        if store:
            _store_missing(repo, path, tree)
        return tree
    if old is not None and old.names == names:
        digests, todo = _unchanged_digests(scan, old)
    else:
        digests, todo = _known_digests(repo, scan, old)
    if store and len(todo) < len(scan.names):
        todo = sorted({*todo, *repo.cache.lacking(digests)})
    _read_files(repo, path, scan, digests, todo, store=store)
    whole = bytes(digests)
    md5 = blocks_md5(_render(scan.names, whole))
    size = sum(scan.stats[1::3])
    repo.state.save_snapshot(key, Snapshot(names, scan.stats, whole, md5, size, len(scan.names)))
    return HashedTree(HashInfo(md5, size, len(scan.names)), scan, whole)


def _read_files(
    repo: DataRepository, path: Path, scan: Scan, digests: bytearray, todo: Sequence[int], *, store: bool
) -> None:
    """Read the files at the given places of a scan and write down their digests; with `store`, keep the bytes."""
    base = f"{path}/"

    def work(part: Sequence[int]) -> list[bytes]:
        found = bytearray()
        for at in part:
            name = base + scan.names[at]
            found += bytes.fromhex(store_file(repo.cache, name) if store else digest_md5(name))
        return [bytes(found)]

    parts: list[bytes] = map_forked(todo, work)
    read = b"".join(parts)
    if len(todo) == len(scan.names):
        digests[:] = read
        return
    for place, at in enumerate(todo):
        digests[place_of(at)] = read[place_of(place)]


def _store_missing(repo: DataRepository, path: Path, tree: HashedTree) -> None:
    for at in repo.cache.lacking(tree.digests):
        store_file(repo.cache, f"{path}/{tree.scan.names[at]}")


def _unchanged_digests(scan: Scan, old: Snapshot) -> tuple[bytearray, Sequence[int]]:
    """Return what `_known_digests` does, for a directory that has the same files as at the last snapshot."""
    now, past = scan.stats, old.stats
    todo = [at for at in range(len(scan.names)) if now[3 * at : 3 * at + 3] != past[3 * at : 3 * at + 3]]
    return bytearray(old.digests), todo


def _known_digests(repo: DataRepository, scan: Scan, old: Snapshot | None) -> tuple[bytearray, Sequence[int]]:
    """Return the digest of each scanned file that the last snapshot or the file table proves, and the other places."""
    stats, count = scan.stats, len(scan.names)
    digests = bytearray(DIGEST_BYTES * count)
    snapshots = [old] if old is not None else repo.state.find_moved(count)
    may_ask = count <= 1000 or old is None
    if not snapshots and not repo.state.has_files():
        return digests, range(count)
    known: dict[tuple[int, int, int], bytes] = {}
    for snapshot in snapshots:
        past = snapshot.stats
        rows = zip(past[0::3], past[1::3], past[2::3], strict=True)
        known.update(zip(rows, iter_digests(snapshot.digests), strict=True))
    todo = []
    for at, row in enumerate(zip(stats[0::3], stats[1::3], stats[2::3], strict=True)):
        found = known.get(row)
        if found is None and may_ask:
            ino, size, mtime_ns = row
            md5 = repo.state.find_file(FileKey(ino, scan.dev, size, mtime_ns))
            found = bytes.fromhex(md5) if md5 is not None else None
        if found is None:
            todo.append(at)
        else:
            digests[place_of(at)] = found
    return digests, todo


def _hash_file(repo: DataRepository, path: Path, info: os.stat_result) -> str:
    known = repo.state.find_file(_key(info))
    if known is None:
        known = digest_md5(str(path))
        repo.state.save_files([(_key(info), known)])
    return known


def digest_md5(path: str) -> str:
    """Return the md5 of a file's bytes.

    Raises:
        Denied: it cannot be read.
    """
    return _read(path)


def store_file(cache: ObjectStore, path: str) -> str:
    """Hash a file and store its bytes unless the cache has them, in one reading; return the md5.

    Raises:
        Denied: it cannot be read, or the cache cannot be written.
    """
    return _read(path, cache)


def _read(path: str, cache: ObjectStore | None = None) -> str:
    descriptor = open_regular(path)
    try:
        data = read_up_to(descriptor, SMALL_BYTES)
        if len(data) < SMALL_BYTES and (len(data) == 0 or not os.read(descriptor, 1)):
            import hashlib

            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if cache is not None and not cache.has_md5(md5):
                cache.put_bytes(data, md5)
            return md5
        os.lseek(descriptor, 0, os.SEEK_SET)
        return _stream(descriptor, cache)
    finally:
        os.close(descriptor)


def _stream(descriptor: int, cache: ObjectStore | None) -> str:
    import hashlib

    digest = hashlib.md5(usedforsecurity=False)
    if cache is None:
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()
    with cache.staging() as temporary:
        with open(temporary, "xb", buffering=0) as out:
            while chunk := os.read(descriptor, CHUNK_BYTES):
                digest.update(chunk)
                left = memoryview(chunk)
                while left:  # a disk that gets full takes a part, and says so only at the next write
                    left = left[out.write(left) :]
        md5 = digest.hexdigest()
        if not cache.has_md5(md5):
            cache.accept(temporary, md5)
    return md5


def _stat(path: Path) -> os.stat_result:
    try:
        info = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise path_missing(str(path)) from None
    except PermissionError:
        raise Denied(f"no permission to read {path}", code="data.denied", hint=f"ls -ld {path}") from None
    check_kind(str(path), info.st_mode)
    return info


def _key(info: os.stat_result) -> FileKey:
    return FileKey(info.st_ino, info.st_dev, info.st_size, info.st_mtime_ns)


def _file_info(info: os.stat_result, md5: str) -> HashInfo:
    return HashInfo(md5, info.st_size, None, bool(info.st_mode & 0o111))
