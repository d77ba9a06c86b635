"""The cache: objects by content at `files/md5/xx/rest`, shared with DVC.

An object is written under `<cache>/tmp`, gets mode 0444 once its bytes are known to match its name, and is
renamed into place: a mode that lets nobody write is taken as proof, as DVC takes 0444. An object with any other
mode is read before it counts as there. Objects of DVC 2 (`<cache>/xx/rest`) are read, never written. Nothing here
knows workspaces.
"""

from __future__ import annotations

import errno
import itertools
import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock.base.digest import digest_bytes
from penstock.base.errors import (
    Corrupt,
    Denied,
    NotFound,
    PenstockError,
    Unavailable,
    disk_full,
    is_disk_full,
)
from penstock.base.files import write_atomic
from penstock.base.staging import new_token, remove_stale
from penstock.data.files.forking import map_forked
from penstock.data.files.state import State
from penstock.data.formats.output import HashInfo
from penstock.data.formats.packed import DIGEST_BYTES, place_of
from penstock.data.formats.tree import parse_tree, tree_md5
from penstock.data.formats.treefiles import TreeFiles, parse_files
from penstock.data.soundness import Soundness

OBJECT_MODE = 0o444
WRITABLE = 0o222
SMALL_BYTES = 4 << 20  # read whole; larger files are streamed
FEW = 512  # up to so many are asked for one by one, more by listing directories
PREFIXES = tuple(f"{number:02x}" for number in range(256))


class ObjectStore:
    """One cache directory, made at the first write. Safe for several processes at once."""

    def __init__(self, root: Path, shared: bool = False, state: State | None = None) -> None:
        self.root = root
        self._soundness = Soundness(state)
        self.shared = shared
        self._files = f"{root}/files/md5"
        self._made: set[str] = set()
        self._is_mode_sure = False
        self._token, self._count = new_token(), itertools.count()  # forked children differ by pid

    def path(self, md5: str) -> str:
        """Return where an object is or would be."""
        return f"{self._files}/{md5[:2]}/{md5[2:]}"

    def legacy_path(self, md5: str) -> str:
        """Return where DVC 2 kept an object."""
        return f"{self.root}/{md5[:2]}/{md5[2:]}"

    def find(self, info: HashInfo) -> str | None:
        """Return the path of an object that is there, or None; whoever reads it checks its bytes."""
        path = self.path(info.md5) if info.algorithm == "md5" else self.legacy_path(info.md5)
        return path if os.path.exists(path) else None

    def has_md5(self, md5: str) -> bool:
        """Say whether there is an object of this name; one that may be written to is read first."""
        path = f"{self._files}/{md5[:2]}/{md5[2:]}"
        try:
            info = os.stat(path)
        except OSError:
            return False
        return not info.st_mode & WRITABLE or self._soundness.is_sound(path, md5, info)

    def missing(self, md5s: Collection[str]) -> set[str]:
        """Return those of the given names that are not there."""
        if len(md5s) < FEW:
            return {md5 for md5 in md5s if not self.has_md5(md5)}
        by_prefix: dict[str, list[str]] = {}
        for md5 in md5s:
            by_prefix.setdefault(md5[:2], []).append(md5)
        absent: set[str] = set()
        listed: list[str] = []
        for prefix, wanted in by_prefix.items():
            names = self._names(prefix)
            for md5 in wanted:
                (listed.append if md5[2:] in names else absent.add)(md5)
        absent.update(map_forked(listed, self._unsound))
        return absent

    def _unsound(self, md5s: Sequence[str]) -> list[str]:
        return [md5 for md5 in md5s if not self.has_md5(md5)]

    def absent(self, digests: bytes | bytearray) -> list[int]:
        """Return the places, in order, of those packed digests whose objects are not there.

        Modes are not looked at: for whoever reads the objects, which checks them.
        """
        count = len(digests) // DIGEST_BYTES
        if count < FEW:
            return [at for at in range(count) if not os.path.exists(self.path(digests[place_of(at)].hex()))]
        by_prefix = [array("l") for _ in PREFIXES]
        for at, first in enumerate(digests[0::DIGEST_BYTES]):
            by_prefix[first].append(at)
        found: list[int] = []
        for first, places in enumerate(by_prefix):
            names = self._names(PREFIXES[first]) if places else set()
            found += [at for at in places if digests[place_of(at)].hex()[2:] not in names]
        return sorted(found)

    def lacking(self, digests: bytes | bytearray) -> list[int]:
        """Return what `absent` does, every mode looked at: for whoever takes an object as proof and reads nothing."""
        listed = set(self.absent(digests))

        def work(places: Sequence[int]) -> list[int]:
            return [at for at in places if at in listed or not self.has_md5(digests[place_of(at)].hex())]

        return map_forked(range(len(digests) // DIGEST_BYTES), work)

    def _names(self, prefix: str) -> set[str]:
        try:
            return set(os.listdir(f"{self._files}/{prefix}"))
        except FileNotFoundError:
            return set()

    def fingerprint(self) -> str:
        """Return a digest that changes whenever an object is added or removed.

        Built from the modification times of the prefix directories; it says nothing about contents.
        """
        times = []
        for prefix in PREFIXES:
            try:
                times.append(str(os.stat(f"{self._files}/{prefix}").st_mtime_ns))
            except FileNotFoundError:
                times.append("")
        return digest_bytes(",".join(times).encode(), "md5")

    @contextmanager
    def staging(self) -> Iterator[str]:
        """Yield a temporary path on the cache's file system; it is removed if it is still there."""
        path = self.staging_path()
        try:
            yield path
        except OSError as error:
            raise write_failed(error, str(self.root)) from error
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def staging_path(self) -> str:
        """Return a new name under `<cache>/tmp`; the process id in it tells whose it is."""
        folder = f"{self.root}/tmp"
        if folder not in self._made:
            self.make_folder(folder)
        return f"{folder}/{os.getpid()}-{self._token}-{next(self._count)}"

    def accept(self, temporary: str, md5: str) -> None:
        """Move a verified temporary file into place as the object `md5`, read-only. Idempotent."""
        os.chmod(temporary, OBJECT_MODE)
        self.accept_protected(temporary, md5)

    def accept_protected(self, temporary: str, md5: str) -> None:
        """Like `accept`, for a file that already has mode 0444."""
        folder = f"{self._files}/{md5[:2]}"
        if folder not in self._made:
            self.make_folder(folder)
        os.rename(temporary, f"{folder}/{md5[2:]}")

    def put_bytes(self, data: bytes, md5: str) -> None:
        """Store bytes whose md5 the caller has just computed from them."""
        try:
            temporary = self.staging_path()
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OBJECT_MODE)
        except OSError as error:
            raise write_failed(error, str(self.root)) from error
        try:
            try:
                written = os.write(descriptor, data)
                while written < len(data):
                    written += os.write(descriptor, data[written:])
                if not self._is_mode_sure:  # what the umask and the directory's defaults make of it
                    if os.fstat(descriptor).st_mode & 0o777 == OBJECT_MODE:
                        self._is_mode_sure = True
                    else:
                        os.fchmod(descriptor, OBJECT_MODE)
            finally:
                os.close(descriptor)
            self.accept_protected(temporary, md5)
        except BaseException as error:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            if isinstance(error, OSError):
                raise write_failed(error, str(self.root)) from error
            raise

    def put_blocks(self, blocks: Iterable[bytes], md5: str) -> None:
        """Store bytes that come in blocks and whose md5 the caller has computed from them."""
        with self.staging() as temporary:
            with open(temporary, "xb") as out:
                out.writelines(blocks)
            self.accept(temporary, md5)

    def put_tree(self, data: bytes) -> str:
        """Store a tree's bytes and return its name."""
        md5 = tree_md5(data)
        if not self.has_md5(md5):
            self.put_bytes(data, md5)
        return md5

    def load_tree(self, info: HashInfo) -> dict[str, str]:
        """Return md5 by relpath of a tree object, as `load_files` does, in a form that is quick to search."""
        return parse_tree(self._load_bytes(info), info.md5)

    def load_files(self, info: HashInfo) -> TreeFiles:
        """Return the files of a tree object, after checking its bytes against its name.

        Raises:
            NotFound: it is not in the cache.
            Corrupt: its bytes do not match, or it is not a tree.
        """
        return parse_files(self._load_bytes(info), info.md5)

    def _load_bytes(self, info: HashInfo) -> bytes:
        """Return a tree object's bytes, after checking them against its name.

        Raises:
            NotFound: it is not in the cache.
            Corrupt: its bytes do not match.
            Denied: it cannot be read.
        """
        path = self.path(info.md5) if info.algorithm == "md5" else self.legacy_path(info.md5)
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            raise object_missing(info.md5) from None
        except PermissionError:
            raise unreadable_object(info.md5, path) from None
        if info.algorithm == "md5" and tree_md5(data) != info.md5:
            raise corrupt_object(info.md5, path)
        return data

    def remove_stale_staging(self) -> None:
        """Remove what killed processes left under `<cache>/tmp`."""
        remove_stale(f"{self.root}/tmp")

    def make_folder(self, folder: str) -> None:
        """Make a directory of the cache, the cache itself if need be; where the cache is a group's, so is it."""
        if folder in self._made:
            return
        before = folder
        made = []
        while self.shared and len(before) >= len(str(self.root)) and not os.path.isdir(before):
            made.append(before)
            before = os.path.dirname(before)
        os.makedirs(folder, exist_ok=True)
        for path in made:
            with suppress(PermissionError):
                os.chmod(path, 0o2775)
        self._made.add(folder)

    def write_file(self, path: Path, data: bytes) -> None:
        """Write a file of the cache that is no object, in one step."""
        self.make_folder(str(path.parent))
        write_atomic(path, data, mode=0o664 if self.shared else None, durable=False)


def write_failed(error: OSError, place: str) -> PenstockError:
    """Make the error for a place that cannot be written: full, read-only or not ours."""
    why = error.strerror or str(error)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Denied(
            f"{error.filename or place} cannot be written: {why}",
            code="data.denied",
            hint=f"ls -ld {place}",
            path=place,
        )
    if is_disk_full(error):
        return disk_full(place, why)
    return Unavailable(
        f"writing to {place} failed: {why}",
        code="data.write_failed",
        hint=f"ls -ld {place}; df -h {place}; then run the same command again",
        path=place,
    )


def object_missing(md5: str) -> NotFound:
    """Make the error for an object that is not in the cache."""
    return NotFound(
        f"object {md5} is not in the cache", code="data.object_missing", hint="penstock fetch", md5=md5
    )


def unreadable_object(md5: str, path: str) -> Denied:
    """Make the error for an object that this user may not read."""
    return Denied(
        f"object {md5} cannot be read: no permission for {path}",
        code="data.denied",
        hint=f"ls -l {path}",
        md5=md5,
        path=path,
    )


def corrupt_object(md5: str, path: str) -> Corrupt:
    """Make the error for an object whose bytes do not match its name."""
    return Corrupt(
        f"object {md5} is damaged: its bytes do not match its name ({path})",
        code="data.object_corrupt",
        hint="penstock repair",
        md5=md5,
        path=path,
    )
