"""Put objects of the cache at workspace paths: as links or as copies that are checked while they are made.

New files appear by a rename from `.dvc/tmp/penstock`; a directory that is not there yet is built there as
a whole and appears by one rename. Which paths to write is decided in `penstock.data.verbs.checkout`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from penstock.base.digest import CHUNK_BYTES, read_up_to
from penstock.base.links import LinkKind, choose_link, link
from penstock.base.staging import remove_stale, staging_name
from penstock.data.files.forking import map_forked
from penstock.data.files.state import FileKey
from penstock.data.formats.treefiles import TreeFiles
from penstock.data.objects import SMALL_BYTES, corrupt_object, object_missing, unreadable_object, write_failed
from penstock.data.repository import DataRepository

# fs.protected_hardlinks, another device, a file system without such links, an inode with as many as it may have
_UNLINKABLE = {
    errno.EPERM,
    errno.EACCES,
    errno.EXDEV,
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EINVAL,
    errno.EMLINK,
}


def choose_kind(repo: DataRepository, folder: Path) -> LinkKind:
    """Return the first configured link kind that works from the cache to `folder`'s file system.

    A single object may still not be linked that way, such as one of another account (`Placer` takes the next kind).
    """
    kinds = repo.link_kinds()
    if kinds[0] == "copy":
        return "copy"
    while not folder.is_dir():
        folder = folder.parent
    probe = repo.dvc_dir / "tmp"
    if not probe.is_dir() or probe.stat().st_dev != folder.stat().st_dev:
        probe = folder
    source = f"{repo.cache.root}/tmp"
    try:
        repo.cache.make_folder(source)
        may_write = os.access(source, os.W_OK)
    except OSError:
        may_write = False
    if may_write:
        return choose_link(kinds, source, str(probe))
    is_near = repo.cache.root.is_dir() and repo.cache.root.stat().st_dev == probe.stat().st_dev
    return next((kind for kind in kinds if kind != "hardlink" or is_near), "copy")


class Placer:
    """Writes objects into the workspace; one instance per checkout."""

    def __init__(self, repo: DataRepository, *, legacy: bool = False) -> None:
        self._repo = repo
        self._locate = repo.cache.legacy_path if legacy else repo.cache.path
        self._legacy = legacy
        self._staging = f"{repo.dvc_dir}/tmp/penstock"
        self._kind: LinkKind | None = None
        self._known: list[tuple[FileKey, str]] = []
        self._count = 0
        self._token = staging_name()
        remove_stale(self._staging)
        os.makedirs(self._staging, exist_ok=True)

    def place_file(self, md5: str, target: Path, *, executable: bool = False) -> None:
        """Put one object at `target`, replacing a file or link that is there.

        Raises:
            NotFound: the object is not in the cache.
            Corrupt: its bytes do not match its name.
            Denied: the object cannot be read, or the target cannot be written.
        """
        if self._kind is None:
            self._kind = choose_kind(self._repo, target.parent)
        temporary = self._temporary(target.parent)
        try:
            self._create(md5, temporary)
            if executable and not os.path.islink(temporary):
                os.chmod(temporary, os.stat(temporary).st_mode | stat.S_IXUSR)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(temporary, target)
            except OSError:  # another file system under the tracked path
                import shutil

                shutil.move(temporary, target)
        except OSError as error:
            raise write_failed(error, str(target)) from error
        finally:
            if os.path.lexists(temporary):  # a rename of two names of one inode leaves both
                os.unlink(temporary)

    def place_new_tree(self, files: TreeFiles, target: Path) -> array[int]:
        """Build a directory that does not exist yet.

        Returns (inode, size, mtime_ns) per file, as a scan of it would.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        self._kind = choose_kind(self._repo, target.parent)
        temporary = self._temporary(target.parent)
        made = set()
        stats = array("q")
        try:
            os.mkdir(temporary)
            for name in files.names:
                folder, slash, _ = name.rpartition("/")
                if slash and folder not in made:
                    os.makedirs(f"{temporary}/{folder}", exist_ok=True)
                    made.add(folder)
            places = range(len(files))

            def work(part: Sequence[int]) -> list[bytes]:
                return [self._place(files, part, temporary)]

            if self._kind == "copy":  # other kinds ask the state file what is verified, which no child may
                parts: list[bytes] = map_forked(places, work)
                stats.frombytes(b"".join(parts))
            else:
                stats.frombytes(self._place(files, places, temporary))
            os.rename(temporary, target)
        except BaseException as error:
            import shutil

            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError):
                raise write_failed(error, str(target)) from error
            raise
        return stats

    def _place(self, files: TreeFiles, places: Sequence[int], folder: str) -> bytes:
        stats = array("q")
        try:
            for at in places:
                info = self._create(files.md5_at(at), f"{folder}/{files.names[at]}")
                stats.extend((info.st_ino, info.st_size, info.st_mtime_ns))
        except OSError as error:
            raise write_failed(error, folder) from error
        return stats.tobytes()

    def _temporary(self, folder: Path) -> str:
        self._count += 1
        return f"{self._staging}/{self._token}-{self._count}"

    def _create(self, md5: str, target: str) -> os.stat_result:
        source = self._locate(md5)
        kind = self._kind or "copy"
        if kind == "copy":
            return self._copy(source, target, md5)
        try:
            info = os.stat(source)
        except FileNotFoundError:
            raise object_missing(md5) from None
        self._verify(source, md5, info)
        if kind == "hardlink" and info.st_size == 0:
            kind = "copy"  # an empty file gains nothing from a link, and DVC does not make one
        kind = self._link(kind, source, target)
        return info if kind in {"hardlink", "symlink"} else os.stat(target)

    def _link(self, kind: LinkKind, source: str, target: str) -> LinkKind:
        """Make a link of a kind, or of the next configured one that can be made of this object; return which."""
        try:
            link(kind, source, target)
        except OSError as error:
            if error.errno not in _UNLINKABLE:
                raise
        else:
            return kind
        kinds = self._repo.link_kinds()
        others: tuple[LinkKind, ...] = kinds[kinds.index(kind) + 1 :] if kind in kinds else ()
        for one in others:
            with suppress(OSError):
                link(one, source, target)
                return one
        link("copy", source, target)  # to say why not
        return "copy"

    def _copy(self, source: str, target: str, md5: str) -> os.stat_result:
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise object_missing(md5) from None
        except PermissionError:
            raise unreadable_object(md5, source) from None
        try:
            data = read_up_to(descriptor, SMALL_BYTES)
            digest = hashlib.md5(data, usedforsecurity=False)
            out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                _write_all(out, data)
                if len(data) == SMALL_BYTES:
                    while data := os.read(descriptor, CHUNK_BYTES):
                        digest.update(data)
                        _write_all(out, data)
                info = os.fstat(out)
            finally:
                os.close(out)
        finally:
            os.close(descriptor)
        if digest.hexdigest() != md5 and not self._legacy:
            os.unlink(target)
            raise corrupt_object(md5, source)
        return info

    def _verify(self, source: str, md5: str, info: os.stat_result) -> None:
        if self._legacy:
            return
        key = FileKey(info.st_ino, info.st_dev, info.st_size, info.st_mtime_ns)
        if self._repo.state.find_file(key) == md5:
            return
        try:
            with open(source, "rb", buffering=0) as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
        except PermissionError:
            raise unreadable_object(md5, source) from None
        if digest != md5:
            raise corrupt_object(md5, source)
        self._known.append((key, md5))

    def finish(self) -> None:
        """Remember which objects were checked."""
        if self._known:
            self._repo.state.save_files(self._known)
            self._known = []


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])
