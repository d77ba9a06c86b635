"""Content digests of files and directories, and putting them into the cache.

`hash_path` looks, `save_path` also stores. A file whose inode, size and time are known is not read again;
one that must be read for both is read once. Nothing here writes pointers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.base.digest import CHUNK_BYTES, read_up_to
from penstock.base.errors import Denied, NotFound
from penstock.data.objects import SMALL_BYTES, ObjectStore
from penstock.data.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.scan import Scan, scan_tree
from penstock.data.state import FileKey, Snapshot
from penstock.data.tree import render_tree, tree_md5
from penstock.data.workers import map_forked

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@dataclass(slots=True)
class HashedTree:
    """A directory's content: its digest, and the digest of every file by relative path."""

    info: HashInfo
    scan: Scan
    digests: bytes

    def files(self) -> dict[str, str]:
        """Return md5 by relative path."""
        text = self.digests.hex()
        return {
            name: text[at : at + 32]
            for at, name in zip(range(0, len(text), 32), self.scan.names, strict=True)
        }

    def render(self) -> bytes:
        """Return the bytes of the tree object."""
        return render_tree(self.files().items())


def hash_path(repo: DataRepository, path: Path) -> HashInfo:
    """Return what is at `path` now: a file's or a directory's digest.

    Raises:
        NotFound: nothing is there.
        Denied: it cannot be read.
    """
    info = _stat(path)
    if stat.S_ISDIR(info.st_mode):
        return hash_tree(repo, path).info
    return _file_info(info, _hash_file(repo, path, info))


def save_path(repo: DataRepository, path: Path) -> HashInfo:
    """Hash `path` and store every object of it that the cache lacks.

    The workspace file stays as it is; `penstock.data.checkout.relink` turns it into a link.
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
        repo.cache.put_tree(tree.render())
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
    known = _known_digests(repo, scan, old)
    present = repo.cache.list_md5s() if store else set()
    base = f"{path}/"
    todo = [at for at, md5 in enumerate(known) if md5 is None or (store and md5 not in present)]

    def work(part: Sequence[int]) -> list[str]:
        if store:
            return [store_file(repo.cache, base + scan.names[at], present) for at in part]
        return [digest_md5(base + scan.names[at]) for at in part]

    for at, digest in zip(todo, map_forked(todo, work), strict=True):
        known[at] = digest
    result = [md5 for md5 in known if md5 is not None]
    md5 = tree_md5(render_tree(zip(scan.names, result, strict=True)))
    digests = bytes.fromhex("".join(result))
    size = sum(scan.stats[1::3])
    snapshot = Snapshot(names, scan.stats, digests, md5, size, len(scan.names))
    repo.state.save_snapshot(key, snapshot)
    return HashedTree(HashInfo(md5, size, len(scan.names)), scan, digests)


def _store_missing(repo: DataRepository, path: Path, tree: HashedTree) -> None:
    if (
        repo.cache.has_md5(tree.info.md5)
        and repo.state.find_complete(tree.info.md5) == repo.cache.fingerprint()
    ):
        return
    files = tree.files()
    absent = repo.cache.missing(set(files.values()))
    for name, md5 in files.items():
        if md5 in absent:
            store_file(repo.cache, f"{path}/{name}")
            absent.discard(md5)


def _known_digests(repo: DataRepository, scan: Scan, old: Snapshot | None) -> list[str | None]:
    """Return the digest of each scanned file that the last snapshot or the file table proves."""
    stats, count = scan.stats, len(scan.names)
    known: dict[tuple[int, int, int], str] = {}
    for snapshot in [old] if old is not None else repo.state.find_moved(count):
        text, past = snapshot.digests.hex(), snapshot.stats
        digests = [text[at : at + 32] for at in range(0, len(text), 32)]
        known.update(zip(zip(past[0::3], past[1::3], past[2::3], strict=True), digests, strict=True))
    rows = zip(stats[0::3], stats[1::3], stats[2::3], strict=True)
    found = [known.get(row) for row in rows]
    unknown = [index for index, md5 in enumerate(found) if md5 is None]
    if len(unknown) > 0 and (count <= 1000 or old is None):
        for index in unknown:
            ino, size, mtime_ns = stats[3 * index : 3 * index + 3]
            found[index] = repo.state.find_file(FileKey(ino, scan.dev, size, mtime_ns))
    return found


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
    return _read(path, None)


def store_file(cache: ObjectStore, path: str, present: set[str] | None = None) -> str:
    """Hash a file and store its bytes unless the cache has them, in one reading; return the md5.

    `present` holds names known to be in the cache, and receives this one.

    Raises:
        Denied: it cannot be read, or the cache cannot be written.
    """
    return _read(path, lambda md5, data: _keep(cache, md5, data, present), cache, present)


def _keep(cache: ObjectStore, md5: str, data: bytes, present: set[str] | None) -> None:
    if present is None:
        if cache.has_md5(md5):
            return
    elif md5 in present:
        return
    else:
        present.add(md5)
    cache.put_bytes(data, md5)


def _read(
    path: str,
    keep: Callable[[str, bytes], None] | None,
    cache: ObjectStore | None = None,
    present: set[str] | None = None,
) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise Denied(f"no permission to read {path}", code="data.denied", hint=f"ls -l {path}") from None
    except FileNotFoundError:
        raise _gone(path) from None
    try:
        data = read_up_to(descriptor, SMALL_BYTES)
        if len(data) < SMALL_BYTES and (len(data) == 0 or not os.read(descriptor, 1)):
            import hashlib

            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if keep is not None:
                keep(md5, data)
            return md5
        os.lseek(descriptor, 0, os.SEEK_SET)
        return _stream(descriptor, cache, present)
    finally:
        os.close(descriptor)


def _stream(descriptor: int, cache: ObjectStore | None, present: set[str] | None) -> str:
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
                out.write(chunk)
        md5 = digest.hexdigest()
        if not cache.has_md5(md5):
            cache.accept(temporary, md5)
        if present is not None:
            present.add(md5)
    return md5


def _stat(path: Path) -> os.stat_result:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise _gone(str(path)) from None
    except PermissionError:
        raise Denied(f"no permission to read {path}", code="data.denied", hint=f"ls -ld {path}") from None


def _gone(path: str) -> NotFound:
    return NotFound(f"{path} does not exist", code="data.path_missing", path=path)


def _key(info: os.stat_result) -> FileKey:
    return FileKey(info.st_ino, info.st_dev, info.st_size, info.st_mtime_ns)


def _file_info(info: os.stat_result, md5: str) -> HashInfo:
    return HashInfo(md5, info.st_size, None, bool(info.st_mode & 0o111))
